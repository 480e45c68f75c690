import { examiner, type ReceiptCheck } from '../../src/client/survey/examine.js';
import type { Owed, Survey } from '../../src/client/survey/found.js';
import type { Holder } from '../../src/client/survey/holders.js';
import { weigh } from '../../src/client/survey/survey.js';
import type { HeldBackup } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { MinimumDays } from '../../src/mesh/generated/anemone/peer/v1/peer.js';
import type { Identity } from '../../src/mesh/identity/identity.js';
import type { ServerIdentity } from '../../src/mesh/identity/server-identity.js';
import type { VerifiedManifest } from '../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import type { ListFilter } from '../../src/mesh/peers/list-backups.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { throwawayServer } from './identities.js';

export const receivedAt = Date.UTC(2026, 10, 23, 1, 5, 0);

/** A peer that exists only as what it answers. */
export interface StagedHolder extends Holder {
  readonly server: ServerIdentity;
  /** The entry of an honest holder. */
  holding(manifest: VerifiedManifest): HeldBackup;
  answer(...held: readonly HeldBackup[]): StagedAnswer;
}

/** What a staged holder says when it is asked. */
export interface StagedAnswer {
  readonly holder: Holder;
  readonly held: readonly HeldBackup[];
  /** What it tells of its retention; nothing, as a node that does not know this. */
  readonly minimumDays?: MinimumDays | undefined;
}

/**
 * What comes of these answers.
 * @param now when they are compared; without it, when the newest was made, or before
 * @param owed what the own node says that it still owes
 */
export function surveyOf(
  answers: readonly StagedAnswer[],
  filter: ListFilter,
  owners: ReadonlyMap<string, Identity>,
  receipts: ReceiptCheck = 'read',
  now = 0,
  owed: Owed = new Map(),
): Survey {
  const { whole } = examiner(owners, receipts);
  const examined = answers.map(({ held, ...answer }) => ({
    ...answer,
    held: held.map((entry) => whole(entry, answer.holder)),
  }));
  return weigh(examined, filter, { now, owed });
}

export function stagedHolder(name: string, fetch: Holder['fetch'] = nothing): StagedHolder {
  const server = throwawayServer(name);
  const holder: StagedHolder = {
    name,
    place: `${name.toLowerCase()}.example`,
    described: `${name} (${name.toLowerCase()}.example:7443)`,
    identity: server.identity,
    server,
    async *list() {},
    fetch,
    leaves: nothing,
    close() {},
    holding: (manifest) => ({
      manifest: manifest.signed,
      receipt: signReceipt({ manifestDigest: manifest.digest, receivedAt }, server.signer),
    }),
    answer: (...held) => ({ holder, held }),
  };
  return holder;
}

// biome-ignore lint/correctness/useYield: it has nothing to give
async function* nothing(): AsyncGenerator<Uint8Array> {
  throw new Failure('not-found', 'nothing is held here');
}
