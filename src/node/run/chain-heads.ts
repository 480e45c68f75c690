import type { SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Problem } from '../../mesh/generated/anemone/node/v1/node.js';
import { provenEpoch } from '../../mesh/identity/node-certificate.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { readChainHead, writeChainHead } from '../../mesh/manifest/chain.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import { problemOf } from '../report/problem.js';
import type { HeldEntry } from '../vault/held-entry.js';
import type { Vault } from '../vault/vault.js';

/**
 * Numbers that the first backup of a rebuilt server leaves out: a peer that was away when it was rebuilt may hold later ones than
 * any that it saw, and those must not pass for newer than what is made from now on.
 */
const leftOut = 1000;

/**
 * How far ahead of this server a number may be that a peer shows, for the next one to go on from it: years of nights. Whoever has
 * stolen the node key could sign the highest there is, after which no other could be made.
 */
const farthestAhead = 10_000;

/** A backup of this server that a peer shows. */
export interface Shown {
  /** Its name. */
  readonly peer: string;
  readonly manifest: SignedManifest;
}

/** The newest backup of a set. */
export interface ChainHead extends Pick<HeldEntry, 'name' | 'sequence' | 'digest' | 'size'> {
  /** Whether the vault of this server has it; a server that was rebuilt knows of backups that only its peers have. */
  readonly held: boolean;
  /** The number of the backup that follows it. */
  readonly next: number;
}

export interface ChainHeads {
  /**
   * The newest backup of a set that this server knows of: in its vault, or written down when it was made here, or seen on its
   * peers when this server was rebuilt or at the beginning of a run. Null where there is none.
   */
  newest(set: string): Promise<ChainHead | null>;
  /** Writes durably down which backup of a set is the newest: the next one goes on from it, also where it is damaged here. */
  keep(set: string, head: SignedManifest): Promise<void>;
  /**
   * Has each set go on from the newest backup that a peer shows, where this server knows of none that is as new: its data folder is
   * an earlier state, or a peer was away when it was rebuilt.
   * @returns what a person has to know. Never throws
   */
  goOnFrom(shown: readonly Shown[]): Promise<Problem[]>;
}

export function openChainHeads(
  vault: Vault,
  { identity, certificate }: Pick<ServerIdentity, 'identity' | 'certificate'>,
  log: Log,
): ChainHeads {
  const { state } = vault.layout;
  const newest = async (set: string): Promise<ChainHead | null> => {
    const heads: ChainHead[] = vault
      .list({ set })
      .filter(({ own }) => own)
      .map(({ name, sequence, digest, size }) => ({ name, sequence, digest, size, held: true, next: sequence + 1 }));
    const known = await readChainHead(state, set, identity).catch((thrown) => {
      // The newest in the vault serves as well. Without any, a sequence that begins anew would look like a rollback.
      if (heads.length > 0) return null;
      throw thrown;
    });
    if (known !== null) {
      const { facts, digest, signed } = known;
      const isOfFormerKey = provenEpoch(signed.certificate, identity) < certificate.epoch;
      const next = facts.sequence + (isOfFormerKey ? leftOut : 0) + 1;
      heads.unshift({ ...facts, digest, held: vault.find(facts.name) !== null, next });
    }
    return heads.reduce<ChainHead | null>(
      (best, head) => (best === null || head.sequence > best.sequence ? head : best),
      null,
    );
  };

  const goOn = async (peer: string, { facts, signed }: VerifiedManifest): Promise<Failure | null> => {
    const known = await newest(facts.set);
    const next = known?.next ?? 1;
    if (facts.sequence < next) return null;
    const epoch = provenEpoch(signed.certificate, identity);
    // A newer node key has superseded this one, which every peer that knows it tells.
    if (epoch > certificate.epoch) return null;
    // A former key leaves numbers for this one, whatever its thief signs.
    if (epoch === certificate.epoch && facts.sequence > next + farthestAhead) return tooFarAhead(peer, facts, next);
    const failure = epoch === certificate.epoch ? forgotten(peer, facts, known) : null;
    // Once the head is written, nobody finds that out again: the report may come hours later, or never.
    if (failure !== null) log.error('backup not known here', { reason: failure.message, hint: failure.hint });
    log.info('sequence goes on from a peer', { set: facts.set, peer, backup: facts.name, sequence: facts.sequence });
    await writeChainHead(state, facts.set, signed);
    return failure;
  };

  return {
    newest,
    keep: (set, head) => writeChainHead(state, set, head),
    async goOnFrom(shown) {
      const proven = new Map<string, { readonly peer: string; readonly manifest: VerifiedManifest }>();
      const liars = new Set<string>();
      for (const { peer, manifest: signed } of shown) {
        if (liars.has(peer)) continue;
        try {
          const manifest = verifyManifest(signed, identity);
          proven.set(manifest.digest.toString('hex'), { peer, manifest });
        } catch (thrown) {
          liars.add(peer);
          log.warn('shown backup not believed', { peer, reason: Failure.from(thrown).message });
        }
      }
      const newestFirst = [...proven.values()].sort((a, b) => b.manifest.facts.sequence - a.manifest.facts.sequence);
      const failures: Failure[] = [];
      for (const { peer, manifest } of newestFirst) {
        const failure = await goOn(peer, manifest).catch((thrown) => Failure.from(thrown, `set ${manifest.facts.set}`));
        if (failure !== null) failures.push(failure);
      }
      return toldTogether(failures);
    },
  };
}

/** One problem for all that a person mends in the same way: what befell several sets is most likely one thing. */
function toldTogether(failures: readonly Failure[]): Problem[] {
  const problems = new Map<string, Problem>();
  for (const problem of failures.map(problemOf)) {
    const mend = `${problem.kind} ${problem.hint}`;
    const before = problems.get(mend);
    problems.set(
      mend,
      before === undefined ? problem : { ...before, message: `${before.message}; ${problem.message}` },
    );
  }
  return [...problems.values()];
}

type Facts = VerifiedManifest['facts'];

const stolen = 'somebody else has its node key: restore this server on a clean machine, which makes a new one.';

function forgotten(peer: string, { name, set, sequence }: Facts, known: ChainHead | null): Failure {
  const newest = known === null ? 'none' : `none after number ${known.sequence}`;
  return new Failure(
    'conflict',
    `${peer} holds ${name}, number ${sequence} of set ${set}, which this server signed; it knew of ${newest}`,
    {
      hint:
        'The next backup has the number after that. Either the data folder of this server was put back to an earlier state, such ' +
        'as a snapshot; or a copy of this machine is running: stop the node there (docs/deploy.md, "A copy of a server"). ' +
        `If it is neither, ${stolen}`,
    },
  );
}

function tooFarAhead(peer: string, { name, set, sequence }: Facts, next: number): Failure {
  return new Failure(
    'conflict',
    `${peer} holds ${name}, number ${sequence} of set ${set}, which a node key of this server signed; the next one is ${next}`,
    {
      hint: `No earlier state and no copy of this server is so far behind, so the set does not go on from there: ${stolen}`,
    },
  );
}
