import { join } from 'node:path';
import type { Config } from '../../mesh/config/config.js';

/** The folder of a node's private files. */
export function stateFolder(config: Pick<Config, 'server'>): string {
  return join(config.server.data, '.state');
}

/** Where a node remembers which node keys are superseded. */
export function seenKeysFile(config: Pick<Config, 'server'>): string {
  return join(stateFolder(config), 'epochs.json');
}
