import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import type { Disk } from './disk.js';
import { type FolderFacts, stateOf, timeOf, writeFacts } from './facts-file.js';
import type { Inventory } from './inventory.js';
import { type Layout, sidecarOf } from './layout.js';

/**
 * Writes down what the owners' folders hold, so that the next start does not open every sidecar, and misses what has lost its
 * own. Nothing else depends on it: a folder that is not in the state that was written down is read.
 */
export interface KnownFacts {
  /** Another backup is held of this owner, or one less. */
  changed(owner: Hostname): void;
  /** Writes down what has changed; after it, nothing is written any more. */
  close(): Promise<void>;
}

export interface KnownFactsOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly inventory: Inventory;
}

/** How long what has changed waits, so that a series of changes is written down once; in milliseconds. */
const patience = 60_000;

/**
 * A folder that changed more recently is not written down yet, in milliseconds: on a file system with a coarse clock, its
 * next change could leave it with the same time.
 */
const shortestQuiet = 3_000;

export function openKnownFacts(options: KnownFactsOptions): KnownFacts {
  const { layout, clock, log } = options;
  const waiting = new Set<Hostname>();
  let cancel = (): void => {};
  let writing: Promise<void> | null = null;
  let closed = false;

  async function write(): Promise<void> {
    for (const owner of [...waiting]) {
      waiting.delete(owner);
      try {
        const facts = await factsOf(owner, options);
        if (facts === 'moving') waiting.add(owner);
        else if (facts !== 'mixed') await writeFacts(layout.factsOf(owner), facts);
      } catch (thrown) {
        log.warn('facts of manifests not written down', { owner, reason: Failure.from(thrown).message });
      }
    }
  }

  function later(): void {
    if (closed || writing !== null || waiting.size === 0) return;
    cancel();
    cancel = clock.after(patience, () => {
      writing = write().finally(() => {
        writing = null;
        later();
      });
    });
  }

  return {
    changed(owner) {
      const isFirst = waiting.size === 0;
      waiting.add(owner);
      if (isFirst) later();
    },
    async close() {
      closed = true;
      cancel();
      await writing;
      await write();
    },
  };
}

/**
 * What an owner's folder holds, where that is exactly what the inventory says: a backup that has come in must never be
 * missing at the next start. `moving` when one may be on its way in or out; `mixed` when there is something else in it.
 */
async function factsOf(
  owner: Hostname,
  { layout, disk, clock, inventory }: KnownFactsOptions,
): Promise<FolderFacts | 'moving' | 'mixed'> {
  const folder = layout.folderOf(owner);
  const state = await stateOf(disk, folder);
  const quiet = clock.now() - timeOf(state);
  if (quiet < shortestQuiet) return 'moving';
  const names = new Set(await disk.readdir(folder));
  if ((await stateOf(disk, folder)) !== state) return 'moving';
  const entries = inventory.list({ owner });
  const identity = entries[0]?.identity ?? null;
  const isExact = entries.every((entry) => {
    return entry.identity === identity && names.has(entry.name) && names.has(sidecarOf(entry.name));
  });
  if (isExact && names.size === 2 * entries.length) return { state, identity, entries };
  return quiet < patience ? 'moving' : 'mixed';
}
