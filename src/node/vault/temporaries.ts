import { randomBytes } from 'node:crypto';
import type { Layout } from './layout.js';

/** The names of temporary files, so that those in use can be told from those that an earlier process left. */
export interface Temporaries {
  /** A path that no other file has; it counts as in use until it is given back. */
  take(): string;
  giveBack(path: string): void;
  inUse(path: string): boolean;
}

export function openTemporaries(layout: Layout): Temporaries {
  const used = new Set<string>();
  return {
    take() {
      const path = layout.temporary(randomBytes(12).toString('hex'));
      used.add(path);
      return path;
    },
    giveBack: (path) => void used.delete(path),
    inUse: (path) => used.has(path),
  };
}
