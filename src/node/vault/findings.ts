import type { Hostname } from '../../mesh/terms/hostname.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import { type BackupFiles, dataOfSidecar, sidecarOf } from './layout.js';

/**
 * What is wrong with a file of a backup: `lost`, it has vanished or is not what its owner signed; `unread`, the disk did not read
 * it the last time, so whether it is lost is for an examination to say; `locked`, the user of the node may not read it, which a
 * person can put right; `aside`, it is a damaged copy in quarantine.
 */
export type Trouble = 'lost' | 'unread' | 'locked' | 'aside';

/** Of which backup a file is. */
export interface Owned {
  /** File name of the backup; empty for the folder with all of its owner. */
  readonly name: string;
  readonly owner: Hostname;
}

interface Finding {
  /** What a person is told. */
  readonly what: string;
  /** Null where it says nothing about a backup. */
  readonly about: (Owned & { readonly trouble: Trouble }) | null;
}

/** What was found on the disk, by its path: for a person to look at, and for what it means for backups. */
export class Findings {
  readonly #byPath = new Map<string, Finding>();
  readonly #isHeld: (name: string) => boolean;

  constructor(isHeld: (name: string) => boolean) {
    this.#isHeld = isHeld;
  }

  /** Notes something that a person should look at. A path has one finding; a later one replaces it. */
  report(path: string, what: string): void {
    this.#byPath.set(path, { what, about: null });
  }

  /** The same, about a file of a backup. */
  note(trouble: Trouble, path: string, { name, owner }: Owned, what: string): void {
    this.#byPath.set(path, { what, about: { name, owner, trouble } });
  }

  /** A finding that no longer holds. */
  settle(path: string): void {
    this.#byPath.delete(path);
  }

  /**
   * Notes that a damaged copy is not missed any more, because the rules remove its backup.
   * @param data where it was put aside
   * @param left what is there of it now; null for nothing
   */
  settleAside(data: string, left: string | null): void {
    for (const path of [data, sidecarOf(data)]) this.settle(path);
    if (left !== null) this.report(left, `was put into quarantine; it is not missed any more: ${howToEnd(data)}`);
  }

  troubleOf(path: string): Trouble | null {
    return this.#byPath.get(path)?.about?.trouble ?? null;
  }

  /** What a start could not read, where a backup would have these files: one of them, or the folder of its owner; or null. */
  lockOf({ folder, data, sidecar }: BackupFiles): string | null {
    return [folder, data, sidecar].find((path) => this.troubleOf(path) === 'locked') ?? null;
  }

  /** Whether the disk did not read one of these files the last time. */
  isUnread({ data, sidecar }: BackupFiles): boolean {
    return [data, sidecar].some((path) => this.troubleOf(path) === 'unread');
  }

  /** The files of a backup that are lost, unread, or damaged copies of it. */
  damagedOf(name: string): string[] {
    return [...this.#byPath].flatMap(([path, { about }]) => (about?.name === name && isDamage(about) ? [path] : []));
  }

  /** File names of an owner's backups that were damaged here, and are not held again since. */
  damaged(owner: Hostname): string[] {
    const names = [...this.#byPath.values()].flatMap(({ about }) =>
      about?.owner === owner && isDamage(about) && !this.#isHeld(about.name) ? [about.name] : [],
    );
    return [...new Set(names)];
  }

  /** One line each, for a person. */
  lines(): string[] {
    const line = ([path, { what, about }]: [string, Finding]): string => {
      const isNeeded = about?.trouble !== 'aside' || !this.#isHeld(about.name);
      return `${path}: ${what}${isNeeded ? '' : `; it is held again: ${howToEnd(dataOfSidecar(path) ?? path)}`}`;
    };
    return [...this.#byPath].map(line).sort();
  }
}

function isDamage({ trouble }: { readonly trouble: Trouble }): boolean {
  return trouble !== 'locked';
}

/** How a finding ends about a copy that nobody needs. @param data where it was put aside */
function howToEnd(data: string): string {
  return `when you have looked at the disk, remove this copy (rm ${shellWord(data)}*) and restart the node`;
}
