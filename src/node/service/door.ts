import type { ListenOptions, Server } from 'node:net';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { CallServer } from './call-server.js';

/**
 * Begins to accept connections.
 * @param where as a person calls it
 * @param hint what to do about an error of this code
 * @throws Failure `config` when that is not possible there
 */
export function openDoor(
  door: Server,
  at: ListenOptions,
  where: string,
  hint?: (code: string | undefined) => string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    door.once('error', (cause: NodeJS.ErrnoException) => {
      const options = { cause, ...(hint === undefined ? {} : { hint: hint(cause.code) }) };
      reject(new Failure('config', `cannot listen on ${where}: ${cause.message}`, options));
    });
    door.listen(at, () => {
      door.removeAllListeners('error');
      door.on('error', () => {});
      resolve();
    });
  });
}

/** Stops accepting, lets running calls end for `graceMs` milliseconds, and closes what is left of the connections. */
export async function closeDoor(door: Server, server: CallServer, graceMs: number, clock: Clock): Promise<void> {
  const closed = new Promise<void>((resolve) => door.close(() => resolve()));
  server.drain();
  const stopTimer = clock.after(graceMs, () => server.cut());
  await closed.finally(stopTimer);
}
