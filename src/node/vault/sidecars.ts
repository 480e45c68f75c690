import { createHash } from 'node:crypto';
import type { Identity } from '../../mesh/identity/identity.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { turnsOf } from '../../mesh/terms/turns.js';
import { type Disk, hasCode, readFailure, readSmall } from './disk.js';
import {
  decodeSidecar,
  type HeldEntry,
  longestSidecar,
  otherIdentity,
  proveSidecar,
  type Sidecar,
} from './held-entry.js';
import type { Inventory } from './inventory.js';
import type { Layout } from './layout.js';

/** Sidecars that are read at once: each has a file open. */
const atOnce = 16;

export interface SidecarsOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly inventory: Inventory;
  identityOf(host: Hostname): Identity | null;
}

/** Reads what stands beside the backups that are held. */
export interface Sidecars {
  /**
   * The sidecar of a backup, read from the disk; its signatures are proven.
   * @throws Failure `damaged`; `untrusted` when its owner has another identity by now, which has damaged nothing; `not-found` when
   * the backup was removed meanwhile; another when the disk cannot read it
   */
  read(entry: HeldEntry): Promise<Sidecar>;
  /** Whether it was proven since the start, for the identity that the owner has in the configuration now. */
  isProven(entry: HeldEntry): boolean;
}

export function openSidecars(options: SidecarsOptions): Sidecars {
  const { layout, disk, inventory, identityOf } = options;
  const turn = turnsOf(atOnce);
  /** The SHA-256 of the sidecar that was proven, and for which identity: what has not changed is not proven again. */
  const proven = new WeakMap<HeldEntry, { readonly identity: Identity | null; readonly digest: Buffer }>();
  const pathOf = (entry: HeldEntry): string => layout.backup(entry.name).sidecar;

  const unreliable = (entry: HeldEntry, what: string): Failure => {
    inventory.findings.report(pathOf(entry), what);
    return new Failure('damaged', `the manifest beside ${entry.name} ${what}`);
  };

  const bytesOf = async (entry: HeldEntry): Promise<Buffer> => {
    const path = pathOf(entry);
    const bytes = await turn(() => readSmall(disk, path, longestSidecar)).catch((thrown) => {
      if (!hasCode(thrown, 'ENOENT')) {
        inventory.doubt(entry, path, thrown);
        throw readFailure(thrown, path);
      }
      if (inventory.find(entry.name) === entry) throw unreliable(entry, 'has vanished');
      throw new Failure('not-found', `${entry.name} is not held here any more`);
    });
    inventory.trust(path);
    if (bytes === null) throw unreliable(entry, 'is too long');
    return bytes;
  };

  const prove = (bytes: Buffer, entry: HeldEntry, identity: Identity | null): Sidecar => {
    let read: ReturnType<typeof proveSidecar>;
    try {
      read = proveSidecar(bytes, { ...entry, identity });
    } catch (thrown) {
      const other = otherIdentity(bytes, { name: entry.name, identity });
      if (other === null) throw unreliable(entry, `is damaged: ${Failure.from(thrown).message}`);
      inventory.findings.leave(pathOf(entry), entry.owner, other);
      throw new Failure('untrusted', `${entry.name} is of another identity than ${entry.owner} has now`);
    }
    if (!read.entry.digest.equals(entry.digest)) throw unreliable(entry, 'was replaced by another');
    return read.held;
  };

  return {
    async read(entry) {
      const bytes = await bytesOf(entry);
      const identity = identityOf(entry.owner);
      const digest = createHash('sha256').update(bytes).digest();
      const before = proven.get(entry);
      if (before?.identity === identity && before.digest.equals(digest)) return decodeSidecar(bytes);
      const held = prove(bytes, entry, identity);
      proven.set(entry, { identity, digest });
      return held;
    },
    isProven(entry) {
      const before = proven.get(entry);
      return before !== undefined && before.identity === identityOf(entry.owner);
    },
  };
}
