import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { Failure } from '../terms/failure.js';

/**
 * Takes a name in Linux's abstract socket namespace (unix(7)) that stands for the folder, by whatever path it is reached.
 * The kernel gives such a name to one process, and frees it when that process ends, however it ends: no lock is ever stale.
 * @param holder what holds it, such as a program; another one may hold the same folder
 * @param taken what to throw when it is held already
 * @returns what lets others have it
 */
export async function holdFolder(
  folder: string,
  holder: string,
  taken: (cause: Error) => Failure,
): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(folder);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(cause.code === 'EADDRINUSE' ? taken(cause) : Failure.from(cause, `${folder} cannot be locked`));
    });
    server.listen({ path: `\0${holder} ${dev}:${ino}` }, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
}
