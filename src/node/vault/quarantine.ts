import { dirname } from 'node:path';
import type { Clock } from '../../mesh/terms/clock.js';
import { type Disk, hasCode, isLost, readSmall, syncFolder } from './disk.js';
import { makeFolder } from './folders.js';
import { longestSidecar } from './held-entry.js';
import type { Inventory } from './inventory.js';
import { type BackupFiles, type Layout, settledName, sidecarOf } from './layout.js';

export interface QuarantineOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly inventory: Inventory;
}

/** Where damaged copies lie, and what is known of them. Calls for one backup must not overlap. */
export class Quarantine {
  readonly #options: QuarantineOptions;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** Moves a damaged copy into quarantine, from where its backup belongs. What is not there any more is no obstacle. */
  async take({ folder, data, sidecar }: BackupFiles, name: string, why: string): Promise<void> {
    const { disk, inventory, layout, clock } = this.#options;
    // The time keeps what is in quarantine already from being in the way.
    const away = layout.quarantined(`${clock.now()}-${name}`);
    // A person may have removed the folder, to be rid of what was in it.
    await makeFolder(disk, layout.quarantine, layout.data);
    await this.#moveAway(data, away);
    inventory.moved(name, data, away);
    inventory.settle(data);
    inventory.report(away, `was put into quarantine: ${why}`);
    await this.#moveAway(sidecar, sidecarOf(away));
    inventory.moved(name, sidecar, away);
    inventory.settle(sidecar);
    await syncFolder(disk, layout.quarantine);
    await syncFolder(disk, folder);
  }

  /**
   * Makes way for a backup that is sent again: for what was found damaged and still lies where it belongs, and for what a start
   * could not read, unless it can be read now: then it is the very backup, and has a receipt.
   */
  async makeWay(files: BackupFiles, name: string): Promise<void> {
    const losses = this.#options.inventory.lossesOf(name);
    const isInTheWay = losses.includes(files.data) || (losses.includes(files.sidecar) && (await this.#isLost(files)));
    if (isInTheWay) await this.take(files, name, 'it was sent again');
  }

  /** What is removed by the rules is not asked for again, although an earlier copy of it was damaged. */
  async settle(name: string): Promise<void> {
    const { inventory, layout } = this.#options;
    for (const path of inventory.lossesOf(name)) {
      if (dirname(path) !== layout.quarantine) continue;
      const left = [await this.#rename(path), await this.#rename(sidecarOf(path))];
      inventory.settleLoss(path, left.find((each) => each !== null) ?? null);
    }
    inventory.regain(name);
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
