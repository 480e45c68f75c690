import { connect } from 'node:net';
import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';
import { type Channel, openChannel } from '../wire/channel.js';
import { controlPatience } from './connection.js';

/**
 * A connection to the node of this very server, over its unix socket, for small calls.
 * @param socket absolute path
 * @throws Failure `unreachable` when no node listens there, `forbidden` when this user may not open it
 */
export async function openOwnChannel(socket: string, clock: Clock): Promise<Channel> {
  // Who may listen there is a matter of the folder.
  const believed = (): void => {};
  const whom = { whom: 'the node of this server', isOwnNode: true, clock, patience: controlPatience };
  const channel = openChannel(whom, () => connect(socket), believed);
  await channel.connect().catch((cause) => {
    throw notReached(socket, cause);
  });
  return channel;
}

function notReached(socket: string, cause: NodeJS.ErrnoException): Failure {
  if (cause.code === 'EACCES' || cause.code === 'EPERM') {
    return new Failure('forbidden', `this user may not talk to the node of this server, at ${socket}`, {
      cause,
      hint: 'Run this as the user that the node runs as, or as root.',
    });
  }
  const quiet = cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED';
  return new Failure(
    'unreachable',
    `the node of this server is not running: nobody answers at ${socket}${quiet ? '' : ` (${cause.message})`}`,
    { cause, hint: 'Start it with `anemone-node`, `systemctl start anemone-node` or `docker compose up -d`.' },
  );
}
