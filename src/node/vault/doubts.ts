import { Failure } from '../../mesh/terms/failure.js';
import { isUnreadable } from './disk.js';
import type { HeldEntry } from './held-entry.js';
import type { Inventory } from './inventory.js';

/**
 * Backups of which a file could not be read. A disk that stumbles must not send all that it has to quarantine, so they stay
 * held; whether one is lost is for an examination to say, which the next night begins with.
 */
export class Doubts {
  readonly #inventory: Inventory;
  readonly #paths = new WeakMap<HeldEntry, Set<string>>();

  constructor(inventory: Inventory) {
    this.#inventory = inventory;
  }

  /** Notes what reading a file of a backup threw, where it is about this file, and tells the person of this node. */
  note(entry: HeldEntry, path: string, thrown: unknown): void {
    if (!isUnreadable(thrown) || this.#inventory.find(entry.name) !== entry) return;
    this.#inventory.report(path, `cannot be read: ${Failure.from(thrown).message}`);
    this.#paths.set(entry, (this.#paths.get(entry) ?? new Set()).add(path));
  }

  /** Notes that a file of a backup could be read. */
  settle(entry: HeldEntry, path: string): void {
    if (this.#paths.get(entry)?.delete(path)) this.#inventory.settle(path);
  }

  has(entry: HeldEntry): boolean {
    return (this.#paths.get(entry)?.size ?? 0) > 0;
  }
}
