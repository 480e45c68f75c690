import { dirname } from 'node:path';
import { HeldBackup, type SignedReceipt } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { parseBackupName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import { turnsOf } from '../../mesh/terms/turns.js';
import { commitBackup, type Staged, stage } from './commit-file.js';
import { type Disk, diskFailure, removeFile, removeLeftovers, sizeOf, syncFolder } from './disk.js';
import { checkFolder, makeFolder } from './folders.js';
import { entryOf, type HeldEntry } from './held-entry.js';
import type { Inventory } from './inventory.js';
import type { BackupFiles, Layout } from './layout.js';
import type { KeptLeaves } from './leaves.js';
import type { Quarantine } from './quarantine.js';

/** Commits at once: each has a few files open, and more would not make the disk faster. */
const atOnce = 16;

export interface KeepingOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly log: Log;
  readonly inventory: Inventory;
  readonly leaves: KeptLeaves;
  readonly quarantine: Quarantine;
  /** Why nothing can be kept, whoever owns it; null when it can. */
  readonly trouble: Failure | null;
}

export interface Acknowledgement {
  readonly signed: SignedReceipt;
  /** Milliseconds since 1970. */
  readonly receivedAt: number;
}

/**
 * What changes the set of backups that are held, on the disk and in the inventory. Calls for one backup must not overlap.
 */
export class Keeping {
  readonly #options: KeepingOptions;
  readonly #commitTurn = turnsOf(atOnce);
  readonly #folders = new Map<string, Promise<void>>();

  constructor(options: KeepingOptions) {
    this.#options = options;
  }

  /** For before a byte is taken. @throws Failure when no backup can be committed into an owner's folder */
  async checkFolder(owner: Hostname): Promise<void> {
    const { disk, layout, trouble } = this.#options;
    if (trouble !== null) throw trouble;
    return checkFolder(disk, layout.folderOf(owner), layout.incoming);
  }

  /**
   * Commits a backup; when it returns, the backup is durable. The data is gone from its temporary name, whatever happens.
   * @param receipt this server's own, for a peer's backup
   */
  async keep(manifest: VerifiedManifest, receipt: Acknowledgement | null, data: Staged): Promise<HeldEntry> {
    const { layout, inventory } = this.#options;
    const target = layout.backup(manifest.facts.name);
    const bytes = HeldBackup.encode({ manifest: manifest.signed, receipt: receipt?.signed }).finish();
    await this.#commitTurn(() => this.#commit(manifest, target, data, bytes));
    for (const path of [target.data, target.sidecar]) inventory.findings.settle(path);
    const entry = entryOf(manifest, receipt?.receivedAt ?? null);
    inventory.add(entry);
    return entry;
  }

  /** Whether the data on the disk still is what was committed, by its size; if not, it is put into quarantine. */
  async isIntact(entry: HeldEntry): Promise<boolean> {
    const size = await sizeOf(this.#options.disk, this.#filesOf(entry).data);
    if (size === entry.size) return true;
    await this.putAside(
      entry.name,
      size === null ? 'its file has vanished' : `its file has ${size} bytes instead of ${entry.size}`,
    );
    return false;
  }

  /**
   * Data first, and for good, then the sidecar: what a crash leaves is a sidecar alone, which never counts as a backup. By
   * the second name that it has meanwhile, as in a commit, the next start knows that nothing was lost.
   */
  async remove(entry: HeldEntry): Promise<void> {
    const { disk, inventory, layout, leaves, log, quarantine } = this.#options;
    const { folder, data, sidecar } = this.#filesOf(entry);
    const second = layout.temporary();
    // A disk without room for a name has to be made room on all the same. While it is held, what happened to an earlier copy
    // makes no difference; after a crash in the midst of this, it would be missed.
    await quarantine.settle(entry.name).catch(() => undefined);
    await disk.link(sidecar, second).catch(() => undefined);
    try {
      await removeFile(disk, data);
    } catch (thrown) {
      await removeLeftovers(disk, [second]);
      throw thrown;
    }
    // What fails from here on leaves the second name, so that it is there for the next start.
    inventory.drop(entry.name);
    for (const path of [data, sidecar]) inventory.findings.settle(path);
    await syncFolder(disk, folder);
    await removeFile(disk, sidecar);
    await removeLeftovers(disk, [second]);
    await leaves.forget(entry.digest);
    await quarantine.settle(entry.name);
    log.info('backup removed', { owner: entry.owner, backup: entry.name });
  }

  /**
   * Puts both files of a damaged backup where nothing is read from. Whatever fails on the way, it is not held any more, and counts
   * as lost: its owner hears of it, and can send it again. What is no file was put there by somebody, and stays until then. So
   * does, for a later start, what the disk does not let be moved. Never throws.
   */
  async putAside(name: string, why: string): Promise<void> {
    const { disk, inventory, layout, leaves, log } = this.#options;
    const { owner } = parseBackupName(name);
    const files = layout.backup(name);
    const entry = inventory.find(name);
    if (entry !== null) {
      inventory.drop(name);
      inventory.findings.note('lost', files.data, entry, `is damaged: ${why}`);
    }
    try {
      if ((await sizeOf(disk, files.data)) === -1) throw new Failure('failed', `${files.data} is no ordinary file`);
      await this.#options.quarantine.take(files, name, why);
      // Where that fails, a sweep does it.
      if (entry !== null) await leaves.forget(entry.digest).catch(() => undefined);
      log.error('backup put into quarantine', { owner, backup: name, reason: why });
    } catch (thrown) {
      const { message } = diskFailure(thrown, name);
      log.error('damaged backup cannot be put into quarantine', { owner, backup: name, reason: message });
    }
  }

  /**
   * Removes the sidecar of a backup that was not committed yet, or removed already.
   * @returns whether it is gone; where it is not, a person is told, and the next start needs its second name to try again
   */
  async clearAway(sidecar: string): Promise<boolean> {
    const { disk, inventory, log } = this.#options;
    try {
      await removeFile(disk, sidecar);
      await syncFolder(disk, dirname(sidecar));
      inventory.findings.settle(sidecar);
      return true;
    } catch (thrown) {
      log.warn('file cannot be removed', { file: sidecar, reason: Failure.from(thrown).message });
      return false;
    }
  }

  async #commit(manifest: VerifiedManifest, target: BackupFiles, data: Staged, sidecar: Uint8Array): Promise<void> {
    const { disk, layout, quarantine } = this.#options;
    let staged: Staged;
    try {
      await quarantine.makeWay(target, manifest.facts.name);
      await this.#folderReady(target.folder);
      staged = await stage(disk, layout.temporary(), sidecar);
    } catch (thrown) {
      await data.handle.close().catch(() => undefined);
      await removeLeftovers(disk, [data.path]);
      throw thrown;
    }
    try {
      await commitBackup(disk, target, data, staged);
    } catch (thrown) {
      // Should someone have removed the folder, the next commit makes it again.
      this.#folders.delete(target.folder);
      throw thrown;
    }
  }

  /** An owner's folder, with its own name durable: else a power cut could take it with everything in it. */
  #folderReady(folder: string): Promise<void> {
    const known = this.#folders.get(folder);
    if (known !== undefined) return known;
    const ready = makeFolder(this.#options.disk, folder, this.#options.layout.data);
    this.#folders.set(folder, ready);
    ready.catch(() => this.#folders.delete(folder));
    return ready;
  }

  #filesOf(entry: HeldEntry): BackupFiles {
    return this.#options.layout.backup(entry.name);
  }
}
