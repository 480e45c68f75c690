import type { SignedReceipt } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../../mesh/identity/identity.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import { type Turn, turnsByKey } from '../../mesh/terms/turns.js';
import { type Disk, realDisk } from './disk.js';
import { makeVaultFolders, troubleWithLinks } from './folders.js';
import type { HeldEntry } from './held-entry.js';
import type { Inventory } from './inventory.js';
import { Keeping } from './keeping.js';
import { type KnownFacts, openKnownFacts } from './known-facts.js';
import { type Layout, layoutOf } from './layout.js';
import { type KeptLeaves, openLeaves } from './leaves.js';
import { Quarantine } from './quarantine.js';
import { readInventory } from './read-inventory.js';
import { openSidecars, type Sidecars } from './sidecars.js';
import { Uploads } from './uploads.js';

export interface VaultOptions {
  /** Absolute path of the data folder; it is made when it is not there. */
  readonly data: string;
  readonly host: Hostname;
  readonly clock: Clock;
  readonly log: Log;
  /** The identity of this server or of a peer; null for one that is not known. */
  identityOf(host: Hostname): Identity | null;
  /** Signs this server's receipt. */
  acknowledge(manifestDigest: Buffer, receivedAt: number): SignedReceipt;
  /** Bytes that a peer may store here; 0 means no limit. */
  quotaOf(host: Hostname): number;
  /** Bytes of disk that stay free: a peer's backup that would go below is refused. */
  minimumFree(): number;
  /** The file system, for tests that make it fail. */
  readonly disk?: Disk;
}

/** What the vault is made of, as it was found on the disk. */
export interface Parts extends Pick<VaultOptions, 'host' | 'clock' | 'log' | 'identityOf' | 'acknowledge'> {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly inventory: Inventory;
  readonly knownFacts: KnownFacts;
  readonly keeping: Keeping;
  readonly leaves: KeptLeaves;
  readonly quarantine: Quarantine;
  readonly sidecars: Sidecars;
  readonly uploads: Uploads;
  /** The turn of what changes the backup of this name. */
  turnOf(name: string): Turn;
  /** Resolves when nothing is being changed. */
  settled(): Promise<void>;
  /** Puts a backup into quarantine, if it still is held. Never throws: it is not held any more either way. */
  putAside(entry: HeldEntry, why: string): Promise<void>;
}

/** Makes the folders that are not there, reads the others, and takes up what an earlier process left unfinished. */
export async function openParts(options: VaultOptions): Promise<Parts> {
  const { data, host, clock, log, identityOf, acknowledge, quotaOf, minimumFree, disk = realDisk } = options;
  const layout = layoutOf(data, host);
  await makeVaultFolders(disk, layout);
  const unknown: Hostname[] = [];
  const lost = new Map<string, string>();
  const unfinished: string[] = [];
  const inventory = await readInventory({
    layout,
    host,
    disk,
    identityOf,
    unknown: (owner) => unknown.push(owner),
    lost: (name, why) => lost.set(name, why),
    unfinished: (sidecar) => unfinished.push(sidecar),
  });
  const { findings } = inventory;
  const knownFacts = openKnownFacts({ layout, disk, clock, log, inventory });
  for (const owner of unknown) knownFacts.changed(owner);
  inventory.watch(knownFacts.changed);
  const leaves = openLeaves({ layout, disk, log });
  const quarantine = new Quarantine({ layout, disk, clock, findings });
  const trouble = await troubleWithLinks(disk, layout);
  if (trouble !== null) {
    log.error('no backup can be kept', { reason: trouble.message });
    findings.report(data, trouble.message);
  }
  const keeping = new Keeping({ layout, disk, log, inventory, leaves, quarantine, trouble });
  const cleared = await Promise.all(unfinished.map((sidecar) => keeping.clearAway(sidecar)));
  for (const [name, why] of lost) await keeping.putAside(name, why);
  // A night makes own backups below that floor; what is healed leaves room for one more like the newest.
  const floorOf = (owner: Hostname): number =>
    owner === host ? Math.min(minimumFree(), inventory.list({ owner })[0]?.size ?? 0) : minimumFree();
  const uploads = await Uploads.open({ layout, disk, clock, log, inventory, identityOf, quotaOf, floorOf });
  if (cleared.every(Boolean)) await uploads.tidyAtStart();
  const { turnOf, settled } = turnsByKey();
  const putAside = (entry: HeldEntry, why: string): Promise<void> =>
    turnOf(entry.name)(async () => {
      // Of several who found the same damage, the first puts it aside.
      if (inventory.find(entry.name) === entry) await keeping.putAside(entry.name, why);
    });
  log.info('vault opened', { backups: inventory.count, findings: findings.lines().length });
  return {
    host,
    clock,
    log,
    disk,
    layout,
    inventory,
    knownFacts,
    keeping,
    leaves,
    quarantine,
    sidecars: openSidecars({ layout, disk, inventory, identityOf }),
    uploads,
    turnOf,
    settled,
    putAside,
    identityOf,
    acknowledge,
  };
}
