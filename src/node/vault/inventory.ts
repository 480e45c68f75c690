import { basename } from 'node:path';
import { type BackupName, formatBackupName } from '../../mesh/terms/backup-name.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import type { HeldEntry } from './held-entry.js';
import { backupInQuarantine, sidecarOf } from './layout.js';
import { spaceOf } from './quota.js';

/** Which entries to list; without a field, all. */
export interface ListFilter {
  readonly owner?: Hostname;
  readonly set?: string;
}

/** What the vault holds, in memory: read from the disk at start, and kept up to date by whoever changes the disk. */
export class Inventory {
  readonly #byName = new Map<string, HeldEntry>();
  readonly #used = new Map<Hostname, number>();
  readonly #findings = new Map<string, string>();
  /** Where the damaged copies of a backup are, by its name. */
  readonly #losses = new Map<string, { readonly owner: Hostname; readonly paths: string[] }>();
  /** Where the files are that only the user of the node may not read, by the name of their backup. */
  readonly #locked = new Map<string, string>();
  /** The folders that a start could not read, by their owner. */
  readonly #lockedFolders = new Map<Hostname, string>();
  #sorted: HeldEntry[] | null = null;
  #changed: (owner: Hostname) => void = () => {};

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

  /** Notes that a copy of a backup is damaged: in quarantine, or where the backup belongs. */
  lose(name: string, owner: Hostname, path: string): void {
    this.#losses.set(name, { owner, paths: [...this.lossesOf(name), path] });
  }

  /** Notes that a damaged copy lies elsewhere now. */
  moved(name: string, from: string, to: string): void {
    const loss = this.#losses.get(name);
    if (loss === undefined) return;
    this.#losses.set(name, { ...loss, paths: loss.paths.map((path) => (path === from ? to : path)) });
  }

  /** File names of an owner's backups that were damaged here, and are not held again since. */
  losses(owner: Hostname): string[] {
    return [...this.#losses].flatMap(([name, loss]) => (loss.owner === owner && !this.#byName.has(name) ? [name] : []));
  }

  /** Where the damaged copies of a backup are. */
  lossesOf(name: string): readonly string[] {
    return this.#losses.get(name)?.paths ?? [];
  }

  /** Forgets that a backup was damaged. */
  regain(name: string): void {
    this.#losses.delete(name);
  }

  /** Notes that a start was not allowed to read a file of a backup. It may be whole, so it is not lost. */
  lock(name: string, path: string): void {
    this.#locked.set(name, path);
  }

  /** Notes that a start could not read the folder of an owner: what it holds is neither held nor lost. */
  lockFolder(owner: Hostname, path: string): void {
    this.#lockedFolders.set(owner, path);
  }

  /** What a start could not read, where a backup of this name would be in it: its file, or the folder of its owner; or null. */
  lockOf(name: BackupName): string | null {
    return this.#locked.get(formatBackupName(name)) ?? this.#lockedFolders.get(name.owner) ?? null;
  }

  /** Notes something on the disk that a person should look at. A path has one finding; a later one replaces it. */
  report(path: string, what: string): void {
    this.#findings.set(path, what);
  }

  /** A finding that no longer holds. */
  settle(path: string): void {
    this.#findings.delete(path);
  }

  /**
   * Notes that a damaged copy is not missed any more, because the rules remove its backup.
   * @param data where it was put aside
   * @param left what is there of it now; null for nothing
   */
  settleLoss(data: string, left: string | null): void {
    for (const path of [data, sidecarOf(data)]) this.settle(path);
    if (left !== null) this.report(left, `was put into quarantine; it is not missed any more: ${howToEnd(data)}`);
  }

  findings(): string[] {
    const again = new Map<string, string>();
    for (const [name, { paths }] of this.#losses) {
      if (!this.#byName.has(name)) continue;
      // Where the backup belongs lies the good copy by now.
      const aside = paths.filter((path) => backupInQuarantine(basename(path)) !== null);
      for (const data of aside) for (const path of [data, sidecarOf(data)]) again.set(path, data);
    }
    const what = ([path, finding]: [string, string]): string => {
      const data = again.get(path);
      return `${path}: ${finding}${data === undefined ? '' : `; it is held again: ${howToEnd(data)}`}`;
    };
    return [...this.#findings].map(what).sort();
  }
}

/** How a finding ends about a copy that nobody needs. @param data where it was put aside */
function howToEnd(data: string): string {
  return `when you have looked at the disk, remove this copy (rm ${shellWord(data)}*) and restart the node`;
}

function newestFirst(a: HeldEntry, b: HeldEntry): number {
  if (a.createdAt !== b.createdAt) return b.createdAt - a.createdAt;
  return a.name < b.name ? 1 : -1;
}
