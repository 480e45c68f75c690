import type { SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { PeerAudit, Problem } from '../../mesh/generated/anemone/node/v1/node.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { readReceipt } from '../../mesh/manifest/receipt.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import { mayPass } from '../outbox/deliver.js';
import type { OwnBackup } from '../outbox/owed.js';
import type { Receipts } from '../outbox/receipts.js';
import { problemOf } from '../report/problem.js';
import type { AuditedPeer } from './audited-peer.js';
import { challenge } from './challenge.js';
import { type Choice, choose } from './choose.js';
import { lossOf, nothingToProve, refusalOf, withoutProof } from './peer-problems.js';
import type { Proofs } from './proofs.js';
import type { Draw } from './samples.js';

/** What the audit of a peer needs of this node. */
export interface AuditParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly receipts: Pick<Receipts, 'held' | 'read' | 'drop'>;
  readonly proofs: Proofs;
  readonly draw: Draw;
  /** The server's own backups that are in its vault now. */
  ownBackups(): Promise<readonly OwnBackup[]>;
  manifestOf(name: string): Promise<VerifiedManifest>;
}

/** What an audit found, and what of it a person has to know. */
export interface AuditResult {
  readonly report: PeerAudit;
  readonly problems: readonly Problem[];
}

/** What a peer said before a run signed anything. */
export interface Told {
  /** What it lost. */
  readonly audit: PeerAudit;
  /** The newest backup of each set of this server that it shows, not proven yet. */
  readonly newest: readonly SignedManifest[];
}

const day = 86_400_000;
/** Milliseconds that the proofs of one peer may take: a slow one does not hold up the night. */
const patience = 15 * 60_000;

/**
 * Takes a peer at its word that it lost backups: their receipts go, so that they are owed to it again.
 *
 * It has to say so for each. What it merely does not hold any more is not sent again and again against its retention; what no
 * retention has removed, {@link auditPeer} finds. Never throws for a
 * peer that cannot be asked: that is in the report.
 */
export async function askPeer(peer: AuditedPeer, parts: AuditParts, signal: AbortSignal): Promise<Told> {
  const acknowledged = await acknowledgedBy(peer, parts);
  try {
    const { damaged, newest, minimum } = await peer.standing(signal);
    if (minimum !== undefined) parts.proofs.saidSince(peer, minimum);
    const isDamaged = new Set(damaged);
    const lost = acknowledged.filter(({ name }) => isDamaged.has(name));
    for (const backup of lost) await drop(peer, backup, 'it found its own copy damaged', parts);
    return { audit: { ...emptyAudit(peer.name), lost: lost.map(({ name }) => name) }, newest };
  } catch (thrown) {
    const problem = problemOf(Failure.from(thrown, `the losses of ${peer.name}`));
    // Whoever acknowledged nothing owes no answer; why it gave none, the delivery tells.
    return { audit: { ...emptyAudit(peer.name), problem: acknowledged.length > 0 ? problem : undefined }, newest: [] };
  }
}

/**
 * Has a peer prove what it gave receipts for. Never throws: what could not be asked is in the report.
 * @param before what {@link askPeer} found; a peer that gave no answer to that is not asked again
 */
export async function auditPeer(
  peer: AuditedPeer,
  parts: AuditParts,
  stopping: AbortSignal,
  before: PeerAudit = emptyAudit(peer.name),
): Promise<AuditResult> {
  const { clock, proofs } = parts;
  const report = { ...before, proven: [...before.proven], lost: [...before.lost], gone: [...before.gone] };
  const problems = before.lost.map((name) => lossOf(peer.name, name, 'it found its own copy damaged'));
  const late = new AbortController();
  const cancel = clock.after(patience, () => late.abort());
  const signal = AbortSignal.any([stopping, late.signal]);
  let excuse: Problem | undefined;
  /** Why the newest backup of a set was not proven tonight, by set, where that is no excuse. */
  const found = new Map<string, Problem>();
  const excused = (thrown: unknown): Failure => {
    const failure = late.signal.aborted ? tooSlow(peer) : Failure.from(thrown, `the proofs of ${peer.name}`);
    excuse ??= problemOf(failure);
    return failure;
  };
  try {
    const choices = await choicesFor(peer, parts);
    excuse = before.problem;
    for (const choice of excuse === undefined ? choices : []) {
      try {
        const problem = await auditBackup(peer, choice, parts, signal, report);
        if (problem === null) continue;
        problems.push(problem);
        if (choice.newest) found.set(choice.backup.set, problem);
      } catch (thrown) {
        // What stands in the way of one proof need not stand in that of the others, where the peer answers at all.
        const failure = excused(thrown);
        if (mayPass(failure)) break;
      }
    }
  } catch (thrown) {
    excused(thrown);
  } finally {
    cancel();
  }
  if (excuse !== undefined) {
    parts.log.warn('proof not given', { peer: peer.name, kind: excuse.kind, reason: excuse.message });
    report.problem = excuse;
    // No excuse: this server was rebuilt elsewhere, or another one answers there. A week would change nothing.
    if (excuse.kind === 'untrusted') {
      return { report: { ...report, problem: undefined }, problems: [...problems, refusalOf(peer.name, excuse)] };
    }
  }
  const otherwise = excuse ?? nothingToProve;
  const reasons = new Map<Problem, string[]>();
  for (const set of proofs.overdue(peer, await parts.ownBackups())) {
    const reason = found.get(set) ?? otherwise;
    reasons.set(reason, [...(reasons.get(reason) ?? []), set]);
  }
  for (const [reason, sets] of reasons) problems.push(withoutProof(peer.name, sets, reason));
  return { report, problems };
}

/** What a peer is asked tonight. From the first night on it owes proofs of what it acknowledged. */
async function choicesFor(peer: AuditedPeer, parts: AuditParts): Promise<Choice[]> {
  const { proofs } = parts;
  const acknowledged: OwnBackup[] = [];
  for (const backup of await acknowledgedBy(peer, parts)) {
    // What its retention removed is told once. The receipt stays, or the peer would be brought it again; with another one it was.
    const gone = proofs.goneReceipt(peer, backup);
    if (gone === undefined || gone !== (await receivedAt(peer, backup, parts))) acknowledged.push(backup);
  }
  const choices = choose(acknowledged, (backup) => proofs.askedAt(peer, backup));
  for (const { backup } of choices) proofs.expect(peer, backup.set);
  return choices;
}

/** The own backups that a peer gave receipts for. */
async function acknowledgedBy(peer: AuditedPeer, { ownBackups, receipts }: AuditParts): Promise<OwnBackup[]> {
  const backups = await ownBackups();
  const held = await receipts.held(peer, backups);
  return backups.filter(({ name }) => held.has(name));
}

/** When a peer received a backup, as its receipt says. */
async function receivedAt(peer: AuditedPeer, backup: OwnBackup, { receipts }: AuditParts): Promise<number> {
  const receipt = await receipts.read(peer, backup);
  return receipt === undefined ? 0 : readReceipt(receipt, peer.identity, backup.digest).receivedAt;
}

/** @returns that the peer lost the backup, or that it is damaged here; null when all is well */
async function auditBackup(
  peer: AuditedPeer,
  choice: Choice,
  parts: AuditParts,
  signal: AbortSignal,
  report: PeerAudit,
): Promise<Problem | null> {
  const { draw, log, proofs } = parts;
  const { backup, newest, samples } = choice;
  let manifest: VerifiedManifest;
  try {
    manifest = await parts.manifestOf(backup.name);
  } catch (thrown) {
    // What is damaged here says nothing about the peer, and what was put aside meanwhile has been told.
    const failure = Failure.from(thrown, backup.name);
    return failure.kind === 'not-found' ? null : problemOf(failure);
  }
  const received = (bytes: number): void => {
    report.bytes += bytes;
  };
  proofs.asked(peer, backup);
  try {
    await challenge(peer, manifest, { samples, draw, signal, received });
  } catch (thrown) {
    const why = await lossIn(Failure.from(thrown), peer, choice, parts, signal);
    if (why === null) throw thrown;
    if (why === 'gone') {
      proofs.gone(peer, backup, await receivedAt(peer, backup, parts));
      report.gone.push(backup.name);
      return null;
    }
    report.lost.push(backup.name);
    await drop(peer, backup, why, parts);
    return lossOf(peer.name, backup.name, why);
  }
  if (newest) proofs.proven(peer, backup.set);
  report.proven.push(backup.name);
  log.info('backup proven', { peer: peer.name, backup: backup.name, leaves: samples });
  return null;
}

/** What a failure says about the backup: why it is lost, `gone` for one that retention took, or null for nothing. */
async function lossIn(
  failure: Failure,
  peer: AuditedPeer,
  { backup, newest }: Choice,
  parts: AuditParts,
  signal: AbortSignal,
): Promise<string | null> {
  // A leaf that there is in the manifest cannot be an invalid one.
  if (failure.kind === 'damaged' || failure.kind === 'invalid') return failure.message;
  if (failure.kind !== 'not-found') return null;
  const missing = 'it does not hold it any more, although';
  if (newest) return `${missing} it is the newest of its set`;
  const { minimum } = await peer.standing(signal);
  if (minimum === undefined) return 'gone';
  const since = parts.proofs.saidSince(peer, minimum);
  // A day is left for clocks.
  const keptSince = Math.max(since, minimum.saidAt - (minimum.days - 1) * day);
  const isKept = (await receivedAt(peer, backup, parts)) >= keptSince;
  return isKept ? `${missing} its retention removes nothing that came so lately` : 'gone';
}

async function drop(peer: AuditedPeer, backup: OwnBackup, why: string, parts: AuditParts): Promise<void> {
  parts.log.error('backup lost by peer', { peer: peer.name, backup: backup.name, reason: why });
  await parts.receipts.drop(peer, backup);
}

function emptyAudit(peer: Hostname): PeerAudit {
  return { peer, proven: [], lost: [], gone: [], bytes: 0, problem: undefined };
}

function tooSlow(peer: AuditedPeer): Failure {
  return new Failure('timeout', `${peer.name} took more than ${patience / 60_000} minutes for its proofs`);
}
