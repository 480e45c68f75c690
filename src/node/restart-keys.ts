import type { Config } from '../mesh/config/config.js';

/** What a running node does not follow: where it listens, who it is, and where it keeps its files. */
export function restartKeys(before: Config, after: Config): string[] {
  const keys = ['name', 'listen', 'data', 'logs', 'socket'] as const;
  return keys
    .filter((key) => JSON.stringify(before.server[key]) !== JSON.stringify(after.server[key]))
    .map((key) => `server.${key}`);
}
