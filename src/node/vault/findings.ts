import { dirname } from 'node:path';
import type { Identity } from '../../mesh/identity/identity.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import { type BackupFiles, dataOfSidecar, sidecarOf } from './layout.js';

/**
 * What is wrong with a file of a backup: `lost`, it has vanished or is not what its owner signed; `unread`, the disk did not read
 * it the last time, so whether it is lost is for an examination to say; `barred`, something else, as wrong rights, kept it from
 * being read the last time; `aside`, it is a damaged copy in quarantine.
 */
export type Damage = 'lost' | 'unread' | 'barred' | 'aside';

/** `locked`: the user of the node may not read it. It may be whole, and a person can put that right. */
type Trouble = Damage | 'locked';

/** Of which backup a file is. */
export interface Owned {
  /** File name of the backup. */
  readonly name: string;
  readonly owner: Hostname;
}

interface Finding {
  /** What a person is told. */
  readonly what: string;
  readonly trouble: Trouble | null;
  /** Null where no backup is damaged. */
  readonly backup: Owned | null;
}

/** A backup that is left alone, since it is whole. */
interface Left {
  readonly owner: Hostname;
  readonly folder: string;
  /** That signed it. */
  readonly identity: Identity;
}

export interface FindingsOptions {
  /** @param name of a backup's file */
  isHeld(name: string): boolean;
  /** Who an owner is now; null for one that is no peer. */
  identityOf(owner: Hostname): Identity | null;
}

/** What was found on the disk, by its path: for a person to look at, and for what it means for backups. */
export class Findings {
  readonly #byPath = new Map<string, Finding>();
  /** Whole backups of an identity that their owner did not have when they were read, by the path of their sidecar. */
  readonly #left = new Map<string, Left>();
  readonly #isHeld: FindingsOptions['isHeld'];
  readonly #identityOf: FindingsOptions['identityOf'];

  constructor({ isHeld, identityOf }: FindingsOptions) {
    this.#isHeld = isHeld;
    this.#identityOf = identityOf;
  }

  /** Notes something that a person should look at. A path has one finding; a later one replaces it. */
  report(path: string, what: string): void {
    this.#byPath.set(path, { what, trouble: null, backup: null });
  }

  /** The same, about a file of a backup that is damaged. */
  note(trouble: Damage, path: string, { name, owner }: Owned, what: string): void {
    this.#byPath.set(path, { what, trouble, backup: { name, owner } });
  }

  /** The same, about a file of a backup, or the folder of an owner, that the node may not read. */
  lock(path: string, what: string): void {
    this.#byPath.set(path, { what, trouble: 'locked', backup: null });
  }

  /** Notes a whole backup that another identity signed than its owner has now: all of an identity are told in one line. */
  leave(sidecar: string, owner: Hostname, identity: Identity): void {
    this.#left.set(sidecar, { owner, folder: dirname(sidecar), identity });
  }

  /** A finding that no longer holds. */
  settle(path: string): void {
    this.#byPath.delete(path);
    this.#left.delete(path);
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
    return this.#byPath.get(path)?.trouble ?? null;
  }

  /** What the node may not read where a backup would be: one of its files, or the folder of its owner; or null. */
  lockOf({ data, sidecar, folder }: BackupFiles): string | null {
    return [data, sidecar, folder].find((path) => this.troubleOf(path) === 'locked') ?? null;
  }

  get hasLock(): boolean {
    return [...this.#byPath.values()].some(({ trouble }) => trouble === 'locked');
  }

  /** Whether a file could not be read the last time, whatever was in the way. */
  isDoubted(path: string): boolean {
    return ['unread', 'barred'].includes(this.troubleOf(path) ?? '');
  }

  /** The files of a backup that the disk did not read the last time, in the order in which they are read. */
  unreadOf({ sidecar, data }: BackupFiles): string[] {
    return [sidecar, data].filter((path) => this.troubleOf(path) === 'unread');
  }

  /** The files of a backup that are damaged, and the damaged copies of it. */
  damagedOf(name: string): string[] {
    return [...this.#byPath].flatMap(([path, { backup }]) => (backup?.name === name ? [path] : []));
  }

  /** File names of an owner's backups that were damaged here, and are not held again since. */
  damaged(owner: Hostname): string[] {
    const names = [...this.#byPath.values()].flatMap(({ backup }) => (backup?.owner === owner ? [backup.name] : []));
    return [...new Set(names)].filter((name) => !this.#isHeld(name));
  }

  /** One line each, for a person. */
  lines(): string[] {
    const line = ([path, { what, trouble, backup }]: [string, Finding]): string => {
      const isHeldAgain = trouble === 'aside' && backup !== null && this.#isHeld(backup.name);
      return `${path}: ${what}${isHeldAgain ? `; it is held again: ${howToEnd(dataOfSidecar(path) ?? path)}` : ''}`;
    };
    return [...[...this.#byPath].map(line), ...this.#leftLines()].sort();
  }

  #leftLines(): string[] {
    const former = [...this.#left.values()].filter(({ owner, identity }) => {
      return ![null, identity].includes(this.#identityOf(owner));
    });
    const each = new Map(former.map((left) => [`${left.folder} ${left.identity}`, left]));
    return [...each.values()].map(({ owner, folder, identity }) => {
      const count = former.filter((left) => left.folder === folder && left.identity === identity).length;
      const backups = count === 1 ? '1 backup' : `${count} backups`;
      const remove = `cd ${shellWord(folder)} && rm $(grep -lF '${identity}' *.manifest | sed 'p; s/.manifest$//')`;
      return (
        `${folder}: ${backups} of another identity than ${owner} has now, ${identity}, left alone. ` +
        `To remove what is of that one, and nothing else, stop the node, and then: ${remove}`
      );
    });
  }
}

/** How a finding ends about a copy that nobody needs. @param data where it was put aside */
function howToEnd(data: string): string {
  return `when you have looked at the disk, remove this copy (rm ${shellWord(data)}*) and restart the node`;
}
