import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../mesh/config/config.js';
import { loadConfig } from '../mesh/config/load.js';
import { Failure } from '../mesh/terms/failure.js';
import { turnsOf } from '../mesh/terms/turns.js';
import type { Base } from './base.js';
import { followFile } from './follow-file.js';

export interface ConfigFollower {
  /**
   * Reads the file now, and resolves when what it says is in force.
   * @returns what of it takes effect only after a restart
   * @throws Failure `config` when the file is wrong; what was in force stays; `interrupted` once it is stopped
   */
  reload(): Promise<readonly string[]>;
  /** What of the file, as it was read last, takes effect only after a restart. */
  needsRestart(): readonly string[];
  /** Looks at the file no more, and resolves when nothing is being followed. It does not wait for a file that hangs. */
  stop(): Promise<void>;
}

/**
 * Keeps a configuration what its file says.
 * @param known the fingerprint of the file from before `node.config` was read from it
 * @param follow tells the parts of the node that the configuration is another one
 */
export function followConfig(
  node: Pick<Base, 'config' | 'log' | 'clock'>,
  known: string | null,
  follow: () => Promise<void>,
): ConfigFollower {
  const { log, clock } = node;
  const { file, server } = node.config;
  let followed = node.config;
  let needsRestart: readonly string[] = [];
  let current = Promise.resolve();
  let stopped = false;
  const read = async (): Promise<readonly string[]> => {
    const { config, hints } = await loadConfig(file);
    if (stopped) throw new Failure('interrupted', 'the node is being stopped, and follows its configuration no more');
    const before = needsRestart;
    needsRestart = restartKeys(node.config, config);
    if (needsRestart.length > 0 && !isDeepStrictEqual(needsRestart, before)) {
      log.warn('configuration needs a restart', { keys: needsRestart.join(', ') });
    }
    const changed = { ...config, server };
    if (isDeepStrictEqual(changed, followed)) return needsRestart;
    for (const hint of hints) log.warn('configuration', { hint });
    node.config = changed;
    current = follow();
    await current;
    followed = changed;
    log.info('configuration read again', { peers: config.peers.length });
    return needsRestart;
  };
  // One after the other: whoever read the file first must not have the last word.
  const inTurn = turnsOf(1);
  const reload = (): Promise<readonly string[]> => inTurn(read);
  const stopLooking = followFile(file, known, clock, async () => {
    await reload().catch((thrown) => log.error('configuration not followed', { reason: Failure.from(thrown).message }));
  });
  return {
    reload,
    needsRestart: () => needsRestart,
    async stop() {
      stopped = true;
      stopLooking();
      await current.catch(() => {});
    },
  };
}

/** What a running node does not follow: where it listens, who it is, and where it keeps its files. */
function restartKeys(before: Config, after: Config): string[] {
  const keys = ['name', 'listen', 'data', 'logs', 'socket'] as const;
  return keys.filter((key) => !isDeepStrictEqual(before.server[key], after.server[key])).map((key) => `server.${key}`);
}
