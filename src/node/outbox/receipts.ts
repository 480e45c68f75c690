import type { Dirent } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readSmallFile } from '../../mesh/files/read-small-file.js';
import { replaceFile } from '../../mesh/files/replace-file.js';
import { SignedReceipt } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { NodeCertificate } from '../../mesh/identity/node-certificate.js';
import { readReceipt, verifyReceipt } from '../../mesh/manifest/receipt.js';
import type { Peer } from '../../mesh/peers/peer.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import type { HeldEntry } from '../vault/held-entry.js';

/** Who gave a receipt. A receipt counts only for the identity that the peer has now: a former one may have lost its disk. */
export type Holder = Pick<Peer, 'name' | 'identity'>;

/** What a receipt is about. */
export type Acknowledged = Pick<HeldEntry, 'name' | 'digest'>;

/** The receipts that peers gave for the server's own backups. */
export interface Receipts {
  /**
   * Keeps a receipt, durably. Its signature was proven by whoever took it from the peer, and is again by whoever reads it here.
   * @throws Failure `untrusted` or `damaged` when it is not of this peer, or not about this backup
   */
  keep(peer: Holder, backup: Acknowledged, receipt: SignedReceipt): Promise<void>;
  /**
   * File names of those of the backups that the peer holds by a receipt that proves it. One that is damaged or cannot be read
   * counts as none, and is logged: the peer is offered the backup again, and its answer is a new receipt. One that was signed with
   * a superseded node key counts as none either: the server that was rebuilt may have lost its disk.
   */
  held(peer: Holder, backups: readonly Acknowledged[]): Promise<Set<string>>;
  /** Forgets a receipt that the peer did not live up to: the backup is owed to it again. */
  drop(peer: Holder, backup: Acknowledged): Promise<void>;
  /** The receipt of one backup as it was given, or undefined when there is none that proves anything. */
  read(peer: Holder, backup: Acknowledged): Promise<SignedReceipt | undefined>;
  /** Removes the receipts of backups that no longer exist here. @param names file names of those that do */
  prune(names: ReadonlySet<string>): Promise<void>;
}

const ending = '.receipt';

/**
 * @param folder `<data>/.state/receipts`: a folder a peer, a file a receipt
 * @param isSuperseded whether a newer node key of the same server was seen
 */
export function openReceipts(
  folder: string,
  log: Log,
  isSuperseded: (certificate: NodeCertificate) => boolean,
): Receipts {
  const reported = new Set<string>();
  const fileOf = (peer: Holder, backup: Acknowledged): string => join(folder, peer.name, backup.name + ending);

  const report = (peer: Holder, backup: Acknowledged, failure: Failure): void => {
    const what = `${peer.name}/${backup.name} ${failure.message}`;
    if (reported.has(what)) return;
    reported.add(what);
    log.warn('receipt not believed', { peer: peer.name, backup: backup.name, reason: failure.message });
  };

  const read = async (peer: Holder, backup: Acknowledged): Promise<SignedReceipt | undefined> => {
    const path = fileOf(peer, backup);
    try {
      const bytes = await readIfThere(path);
      if (bytes === undefined) return undefined;
      const receipt = decode(bytes);
      const { certificate } = verifyReceipt(receipt, peer.identity, backup.digest);
      return isSuperseded(certificate) ? undefined : receipt;
    } catch (thrown) {
      report(peer, backup, Failure.from(thrown, path));
      return undefined;
    }
  };

  return {
    read,
    async keep(peer, backup, receipt) {
      readReceipt(receipt, peer.identity, backup.digest);
      await replaceFile(fileOf(peer, backup), SignedReceipt.encode(receipt).finish());
    },
    drop: (peer, backup) => rm(fileOf(peer, backup), { force: true }),
    async held(peer, backups) {
      const names = new Set<string>();
      for (const backup of backups) {
        if ((await read(peer, backup)) !== undefined) names.add(backup.name);
      }
      return names;
    },
    async prune(names) {
      for (const peer of await list(folder)) {
        for (const file of await list(join(folder, peer.name))) {
          const orphan = file.isFile() && file.name.endsWith(ending) && !names.has(file.name.slice(0, -ending.length));
          if (orphan) await rm(join(folder, peer.name, file.name), { force: true });
        }
      }
    },
  };
}

function decode(bytes: Uint8Array): SignedReceipt {
  try {
    return SignedReceipt.decode(bytes);
  } catch (cause) {
    throw new Failure('damaged', 'the receipt cannot be read', { cause });
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readSmallFile(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

async function list(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw thrown;
  }
}
