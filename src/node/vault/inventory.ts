import type { Identity } from '../../mesh/identity/identity.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { isUnreadable, mayBeReadAgain } from './disk.js';
import { Findings } from './findings.js';
import type { HeldEntry } from './held-entry.js';
import { spaceOf } from './quota.js';

/** Which entries to list; without a field, all. */
export interface ListFilter {
  readonly owner?: Hostname;
  readonly set?: string;
}

/** What the vault holds, in memory: read from the disk at start, and kept up to date by whoever changes the disk. */
export class Inventory {
  readonly findings: Findings;
  readonly #byName = new Map<string, HeldEntry>();
  readonly #used = new Map<Hostname, number>();
  #sorted: HeldEntry[] | null = null;
  #changed: (owner: Hostname) => void = () => {};

  /** @param identityOf who an owner is now; null for one that is no peer */
  constructor(identityOf: (owner: Hostname) => Identity | null) {
    this.findings = new Findings({ isHeld: (name) => this.#byName.has(name), identityOf });
  }

  /** Calls back when another backup is held of an owner, or one less. */
  watch(changed: (owner: Hostname) => void): void {
    this.#changed = changed;
  }

  find(name: string): HeldEntry | null {
    return this.#byName.get(name) ?? null;
  }

  /** How many are held. */
  get count(): number {
    return this.#byName.size;
  }

  /** Newest first, by the clock of the owner. */
  list({ owner, set }: ListFilter): HeldEntry[] {
    this.#sorted ??= [...this.#byName.values()].sort(newestFirst);
    return this.#sorted.filter(
      (entry) => (owner === undefined || entry.owner === owner) && (set === undefined || entry.set === set),
    );
  }

  /** Bytes for which an owner's backups count, see {@link spaceOf}. */
  used(owner: Hostname): number {
    return this.#used.get(owner) ?? 0;
  }

  add(entry: HeldEntry): void {
    this.drop(entry.name);
    this.#byName.set(entry.name, entry);
    this.#used.set(entry.owner, this.used(entry.owner) + spaceOf(entry.size));
    this.#sorted = null;
    this.#changed(entry.owner);
  }

  drop(name: string): void {
    const entry = this.#byName.get(name);
    if (entry === undefined) return;
    this.#byName.delete(name);
    this.#used.set(entry.owner, this.used(entry.owner) - spaceOf(entry.size));
    this.#sorted = null;
    this.#changed(entry.owner);
  }

  /**
   * Notes what reading a file of a backup threw, where it is about this file. A disk that stumbles must not send all that it has
   * to quarantine, so the backup stays held; the next night begins with an examination of it.
   */
  doubt(entry: HeldEntry, path: string, thrown: unknown): void {
    if (!isUnreadable(thrown) || this.find(entry.name) !== entry) return;
    const trouble = mayBeReadAgain(thrown) ? 'unread' : 'barred';
    this.findings.note(trouble, path, entry, `cannot be read: ${Failure.from(thrown).message}`);
  }

  /** Notes that a file could be read. */
  trust(path: string): void {
    if (this.findings.isDoubted(path)) this.findings.settle(path);
  }
}

function newestFirst(a: HeldEntry, b: HeldEntry): number {
  if (a.createdAt !== b.createdAt) return b.createdAt - a.createdAt;
  return a.name < b.name ? 1 : -1;
}
