import { createHash } from 'node:crypto';
import type { Sealer } from '../../mesh/envelope/envelope.js';
import type { Manifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { Outcome, type SetReport } from '../../mesh/generated/anemone/node/v1/node.js';
import { identityBytes } from '../../mesh/identity/identity.js';
import type { Signer } from '../../mesh/identity/signer.js';
import { signManifest } from '../../mesh/manifest/manifest.js';
import { formatBackupName } from '../../mesh/terms/backup-name.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import type { Outbox } from '../outbox/outbox.js';
import { problemOf } from '../report/problem.js';
import type { Draft } from '../vault/draft.js';
import type { ChainHead, ChainHeads } from './chain-heads.js';
import type { Fingerprint, Fingerprints } from './fingerprints.js';
import { passThrough, type Sealed } from './pass-through.js';
import { type SetWarnings, setWarnings } from './set-warnings.js';
import type { ReadSource, SetSource } from './source-watch.js';

/** A set, as a run needs it. */
export interface NightSet extends SetSource {
  /** Whether the source gives ciphertext, which is kept as it is. */
  readonly sealed: boolean;
  /** Whether it is skipped when unchanged, also where the configuration says `always`. */
  readonly incremental?: boolean;
}

/** How sets are sealed, and when one is skipped. */
export interface Sealing {
  readonly mode: 'incremental' | 'always';
  /** What is sealed already needs none. @throws Failure `config` when nobody could open what it seals */
  sealer(): Promise<Sealer>;
  /** Names the recipients; when it changes, every set counts as changed. Never a secret, nor derived from one. */
  readonly sealedFor: string;
}

/** What keeping a set needs of the node. */
export interface SetParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly owner: Hostname;
  readonly signer: Signer;
  readonly fingerprints: Fingerprints;
  readonly readSource: ReadSource;
  /** As the configuration says now. */
  sealing(): Sealing;
  draft(): Promise<Draft>;
  readonly chainHeads: Pick<ChainHeads, 'newest' | 'keep'>;
  /** Whether a backup of this file name is known. */
  isTaken(name: string): boolean;
  readonly outbox: Pick<Outbox, 'peersWithout'>;
}

export interface SetRequest {
  readonly set: NightSet;
  /** Make a backup even when nothing changed. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  /** Resolves when peers were asked what they hold, after which the set goes on; its source is read meanwhile. */
  readonly asking: Promise<unknown>;
  /** Told the bytes that the source gave so far. */
  progress(bytes: number): void;
}

export interface KeptSet {
  readonly report: SetReport;
  /** Whether it failed, and may succeed a little later without anyone changing anything. */
  readonly mayPass: boolean;
}

/** Makes the next backup of a set in the own vault, or finds it unchanged. Never throws: the report tells what went wrong. */
export async function keepSet(request: SetRequest, parts: SetParts): Promise<KeptSet> {
  const { set, signal } = request;
  const warnings = setWarnings(set.name, parts.log);
  const report = {
    set: set.name,
    outcome: Outcome.OUTCOME_FAILED,
    backup: '',
    size: 0,
    sequence: 0,
    problem: undefined,
  };
  try {
    signal.throwIfAborted();
    const kept = await keep(request, parts, warnings);
    const told = warnings.told();
    const outcome = told.warnings.length > 0 ? Outcome.OUTCOME_PARTLY : kept.outcome;
    return { report: { ...report, ...kept, outcome, ...told }, mayPass: false };
  } catch (thrown) {
    const failure = Failure.from(thrown, `set ${set.name}`);
    // A full disk is no emptier for reading everything once more.
    const mayPass = failure.retryable && failure.kind !== 'no-space';
    return { report: { ...report, ...warnings.told(), problem: problemOf(failure) }, mayPass };
  }
}

type Kept = Pick<SetReport, 'outcome' | 'backup' | 'size' | 'sequence'>;

async function keep(request: SetRequest, parts: SetParts, { warn, remark }: SetWarnings): Promise<Kept> {
  const { set, force, signal } = request;
  const sealing = parts.sealing();
  const sealer = set.sealed ? null : await sealing.sealer();
  const draft = await parts.draft();
  try {
    const given = parts.readSource(set, { signal, warn, remark });
    const { format, sha256 } = await fill(draft, request, sealer, given);
    const fingerprint = { sha256, sealedFor: sealing.sealedFor };
    await request.asking;
    const head = await parts.chainHeads.newest(set.name);
    const maySkip = (sealing.mode === 'incremental' || set.incremental === true) && !force;
    if (maySkip && head?.held && (await isUnchanged(set.name, { ...fingerprint, backup: head.name }, parts))) {
      return await stillCurrent(set.name, head, parts);
    }
    const facts = nextFacts({ set: set.name, head, format, digest: draft.digest() }, parts);
    signal.throwIfAborted();
    const manifest = signManifest(facts, parts.signer);
    await draft.commit(manifest);
    await parts.chainHeads.keep(set.name, manifest).catch((thrown) => warn(unnumbered(facts, Failure.from(thrown))));
    await note(set.name, { ...fingerprint, backup: facts.name }, parts);
    if (head !== null && hasShrunk(facts.size, head.size)) warn(shrunk(facts.size, head.size));
    return { outcome: Outcome.OUTCOME_DONE, backup: facts.name, size: facts.size, sequence: facts.sequence };
  } finally {
    await discard(draft, parts);
  }
}

/** Whether a backup is so much smaller than the one before that most of its source may have gone. Of small ones it tells nothing. */
function hasShrunk(size: number, before: number): boolean {
  return before >= 2 ** 16 && size < before / 10;
}

function shrunk(size: number, before: number): string {
  const [now, then] = [formatByteSize(size), formatByteSize(before)];
  return `this backup has ${now}, the one before it had ${then}: see that the source of the set is still whole`;
}

/** Reads the source, seals it where there is a sealer, and writes it, in one pass. The fingerprint is of what the source gave. */
async function fill(
  draft: Draft,
  { set, signal, progress }: SetRequest,
  sealer: Sealer | null,
  given: Bytes,
): Promise<{ format: string; sha256: string }> {
  const hash = createHash('sha256');
  let count = 0;
  async function* observed(source: Bytes): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      signal.throwIfAborted();
      hash.update(chunk);
      count += chunk.length;
      progress(count);
      yield chunk;
    }
  }
  const source = observed(given);
  const sealed: Sealed =
    sealer === null ? await passThrough(set.name, source) : { format: sealer.format, bytes: sealer.seal(source) };
  for await (const chunk of sealed.bytes) await draft.write(chunk);
  if (count === 0) throw new Failure('failed', `the source of set ${set.name} gave no bytes`);
  return { format: sealed.format, sha256: hash.digest('hex') };
}

async function isUnchanged(set: string, now: Fingerprint, { fingerprints }: SetParts): Promise<boolean> {
  const last = await fingerprints.read(set);
  return last?.backup === now.backup && last.sha256 === now.sha256 && last.sealedFor === now.sealedFor;
}

/**
 * An unchanged set is skipped only when every peer has its last backup. Where one lacks it, that very backup is delivered
 * later in this run: another one with the same content would help nobody, and would push older states out of everyone's
 * retention for as long as one peer is away.
 */
async function stillCurrent(set: string, head: ChainHead, { log, outbox }: SetParts): Promise<Kept> {
  const lacking = await outbox.peersWithout(head);
  if (lacking.length > 0) log.info('set unchanged, but owed', { set, backup: head.name, peers: lacking.join(', ') });
  const outcome = lacking.length === 0 ? Outcome.OUTCOME_UNCHANGED : Outcome.OUTCOME_DONE;
  return { outcome, backup: head.name, size: head.size, sequence: head.sequence };
}

/** Names are whole seconds: a second that is taken is passed over for the next free one. */
function nextFacts(
  made: {
    readonly set: string;
    readonly head: ChainHead | null;
    readonly format: string;
    readonly digest: ReturnType<Draft['digest']>;
  },
  { clock, owner, signer, isTaken }: SetParts,
): Manifest {
  const nameAt = (time: number): string => formatBackupName({ owner, set: made.set, time });
  let time = Math.floor(clock.now() / 1000) * 1000;
  while (isTaken(nameAt(time))) time += 1000;
  return {
    owner,
    identity: identityBytes(signer.identity),
    set: made.set,
    name: nameAt(time),
    sequence: made.head?.next ?? 1,
    previous: made.head?.digest ?? Buffer.alloc(0),
    createdAtMs: time,
    format: made.format,
    ...made.digest,
  };
}

/** The backup is safe already; only what is written down keeps its number from being used again where it is damaged here. */
function unnumbered({ sequence }: Manifest, { message }: Failure): string {
  const worst = 'should this backup be lost here, the next one gets that number too';
  return `number ${sequence} could not be written down: ${worst}. See to the disk of the data folder: ${message}`;
}

/** The backup is safe already. Without its fingerprint, the worst is one backup too many next time. */
async function note(set: string, fingerprint: Fingerprint, { fingerprints, log }: SetParts): Promise<void> {
  try {
    await fingerprints.write(set, fingerprint);
  } catch (thrown) {
    log.warn('fingerprint not kept', { set, reason: Failure.from(thrown).message });
  }
}

/** After a commit there is nothing to discard. A draft that stays behind is removed at the next start. */
async function discard(draft: Draft, { log }: SetParts): Promise<void> {
  try {
    await draft.discard();
  } catch (thrown) {
    log.warn('draft not removed', { reason: Failure.from(thrown).message });
  }
}
