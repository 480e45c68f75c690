import { join } from 'node:path';
import type { Config } from '../../src/mesh/config/config.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { type OwnRequests, serveOwnClient } from '../../src/node/service/own-server.js';
import { openThrottledLog } from '../../src/node/service/throttled-log.js';
import type { Vault } from '../../src/node/vault/vault.js';
import { silent } from './events.js';
import { keepDays } from './peer-node.js';

/** Where the client of a configuration with the usual data folder looks for its node. */
export function ownSocket(base: string): string {
  return join(base, 'config-backups/.state/node.sock');
}

/**
 * Answers the own client at a socket out of a vault, as a node does. Backups nobody may ask for.
 * @param status what it answers when it is asked how things stand, which fails without one
 */
export async function serveOwn(
  socket: string,
  vault: Vault,
  retention: () => Config['retention'] = () => keepDays(0, 7),
  status?: OwnRequests['status'],
) {
  const log = openThrottledLog(silent, systemClock);
  const server = await serveOwnClient(socket, { retention, status } as OwnRequests, vault, systemClock, log);
  return {
    async close(): Promise<void> {
      await server.close(0);
      log.close();
    },
  };
}
