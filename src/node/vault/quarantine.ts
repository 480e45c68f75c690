import { basename } from 'node:path';
import type { SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { parseBackupName } from '../../mesh/terms/backup-name.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { type Disk, hasCode, isLost, readSmall, syncFolder } from './disk.js';
import type { Findings } from './findings.js';
import { makeFolder } from './folders.js';
import { decodeSidecar, longestSidecar } from './held-entry.js';
import { type BackupFiles, dataOfSidecar, type Layout, quarantinedAt, settledName, sidecarOf } from './layout.js';

export interface QuarantineOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly findings: Findings;
}

/** A backup that was damaged here, and is not held again since. */
export interface LostBackup {
  /** File name. */
  readonly name: string;
  /** When its last copy was put into quarantine, milliseconds since 1970; 0 where none was, as where a start could not read it. */
  readonly since: number;
  /** What lies beside its copies and can be read. Nothing of it is proven. */
  readonly manifests: readonly SignedManifest[];
}

/** Where damaged copies lie, and what is known of them. Calls for one backup must not overlap. */
export class Quarantine {
  readonly #options: QuarantineOptions;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** Moves a damaged copy into quarantine, from where its backup belongs. What is not there any more is no obstacle. */
  async take({ folder, data, sidecar }: BackupFiles, name: string, why: string): Promise<void> {
    const { disk, findings, layout, clock } = this.#options;
    // The time keeps what is in quarantine already from being in the way.
    const away = layout.quarantined(`${clock.now()}-${name}`);
    // A person may have removed the folder, to be rid of what was in it.
    await makeFolder(disk, layout.quarantine, layout.data);
    await this.#moveAway(data, away);
    findings.settle(data);
    findings.note('aside', away, { name, owner: parseBackupName(name).owner }, `was put into quarantine: ${why}`);
    await this.#moveAway(sidecar, sidecarOf(away));
    findings.settle(sidecar);
    await syncFolder(disk, layout.quarantine);
    await syncFolder(disk, folder);
  }

  /**
   * Makes way for a backup that is sent again: for what was found damaged and still lies where it belongs, and for what a start
   * could not read, unless it can be read now: then it is the very backup, and has a receipt.
   */
  async makeWay(files: BackupFiles, name: string): Promise<void> {
    const { findings } = this.#options;
    const [data, sidecar] = [findings.troubleOf(files.data), findings.troubleOf(files.sidecar)];
    const isInTheWay =
      [data, sidecar].includes('lost') || data === 'unread' || (sidecar === 'unread' && (await this.#isLost(files)));
    if (isInTheWay) await this.take(files, name, 'it was sent again');
  }

  /**
   * File names of an owner's backups that were damaged here, and are not held again since. Behind a lock one may be, whatever became
   * of an earlier copy.
   */
  damaged(owner: Hostname): string[] {
    const { findings, layout } = this.#options;
    return findings.damaged(owner).filter((name) => findings.lockOf(layout.backup(name)) === null);
  }

  /** The same, each with what is known of it. */
  async lost(owner: Hostname): Promise<LostBackup[]> {
    const { findings } = this.#options;
    const lost: LostBackup[] = [];
    for (const name of this.damaged(owner)) {
      const copies = findings.damagedOf(name);
      const since = Math.max(...copies.map((path) => quarantinedAt(basename(path))));
      const manifests: SignedManifest[] = [];
      for (const path of copies) manifests.push(...(await this.#manifestBeside(path)));
      lost.push({ name, since, manifests });
    }
    return lost;
  }

  /** What is removed by the rules is not asked for again, although an earlier copy of it was damaged. */
  async settle(name: string): Promise<void> {
    const { findings } = this.#options;
    for (const path of findings.damagedOf(name)) {
      if (findings.troubleOf(path) !== 'aside') continue;
      const data = dataOfSidecar(path) ?? path;
      const left = [await this.#rename(data), await this.#rename(sidecarOf(data))];
      findings.settleAside(data, left.find((each) => each !== null) ?? null);
    }
  }

  /** @param path of the data or of the sidecar @returns none where it cannot be read */
  async #manifestBeside(path: string): Promise<readonly SignedManifest[]> {
    try {
      const sidecar = dataOfSidecar(path) === null ? sidecarOf(path) : path;
      const bytes = await readSmall(this.#options.disk, sidecar, longestSidecar);
      return bytes === null ? [] : [decodeSidecar(bytes).manifest];
    } catch {
      return [];
    }
  }

  async #isLost({ sidecar }: BackupFiles): Promise<boolean> {
    return readSmall(this.#options.disk, sidecar, longestSidecar).then(() => false, isLost);
  }

  /** @returns the name that it has now; null for what is not there */
  async #rename(path: string): Promise<string | null> {
    try {
      await this.#options.disk.rename(path, settledName(path));
      return settledName(path);
    } catch (thrown) {
      if (!hasCode(thrown, 'ENOENT')) throw thrown;
      return null;
    }
  }

  async #moveAway(from: string, to: string): Promise<void> {
    try {
      await this.#options.disk.link(from, to);
      await this.#options.disk.unlink(from);
    } catch (thrown) {
      // A folder has one name only.
      if (hasCode(thrown, 'EPERM')) await this.#options.disk.rename(from, to);
      else if (!hasCode(thrown, 'ENOENT')) throw thrown;
    }
  }
}
