import type { SignedReceipt } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../../mesh/identity/identity.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import { turnsByKey } from '../../mesh/terms/turns.js';
import type { Disk } from './disk.js';
import type { DraftOptions } from './draft.js';
import { makeFolders } from './folders.js';
import { Keeping } from './keeping.js';
import { type KnownFacts, openKnownFacts } from './known-facts.js';
import { type Layout, layoutOf } from './layout.js';
import { openLeaves } from './leaves.js';
import { openQuota } from './quota.js';
import { readInventory } from './read-inventory.js';
import type { ReceivingOptions } from './receiving.js';
import { openSidecars } from './sidecars.js';
import { openTemporaries } from './temporaries.js';
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
export type Parts = Omit<ReceivingOptions, 'examining'> &
  DraftOptions & { readonly layout: Layout; readonly knownFacts: KnownFacts };

/** Makes the folders that are not there, reads the others, and takes up what an earlier process left unfinished. */
export async function openParts(options: VaultOptions, disk: Disk): Promise<Parts> {
  const { data, host, log } = options;
  const layout = layoutOf(data, host);
  await makeFolders(disk, layout);
  const unknown: Hostname[] = [];
  const lost = new Map<string, string>();
  const unfinished: string[] = [];
  const inventory = await readInventory({
    ...options,
    layout,
    disk,
    unknown: (owner) => unknown.push(owner),
    lost: (name, why) => lost.set(name, why),
    unfinished: (sidecar) => unfinished.push(sidecar),
  });
  const knownFacts = openKnownFacts({ ...options, layout, disk, inventory });
  for (const owner of unknown) knownFacts.changed(owner);
  inventory.watch(knownFacts.changed);
  const shared = {
    ...options,
    layout,
    disk,
    inventory,
    temporaries: openTemporaries(layout),
    turnOf: turnsByKey(),
    isHeld: (name: string) => inventory.find(name) !== null,
  };
  const leaves = openLeaves(shared);
  const keeping = new Keeping({ ...shared, leaves });
  for (const sidecar of unfinished) await keeping.clearAway(sidecar);
  for (const [name, why] of lost) await keeping.setAside(name, why);
  const quota = openQuota({ ...options, folder: data, disk, used: (owner) => inventory.used(owner) });
  const uploads = await Uploads.open({ ...shared, quota });
  log.info('vault opened', { backups: inventory.count, findings: inventory.findings().length });
  return { ...shared, keeping, knownFacts, leaves, sidecars: openSidecars(shared), uploads };
}
