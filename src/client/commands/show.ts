import { formatByteSize } from '../../mesh/terms/byte-size.js';
import type { Look } from '../render/look.js';
import { formatMoment, formatTime } from '../render/moments.js';
import { renderTable } from '../render/table.js';
import type { Context, ExitCode } from '../session/context.js';
import type { Answer, Candidate, Copy } from '../survey/found.js';
import { openMesh } from '../survey/mesh.js';
import { peersDocument } from '../survey/survey.js';
import { findOne } from './find-one.js';

/** One backup: what its manifest says, who holds it, and the receipts. */
export async function showBackup(context: Context, reference: string): Promise<ExitCode> {
  const mesh = await openMesh(context);
  try {
    const { backup, answers } = await findOne(context, mesh, reference, 'prove');
    context.screen.result(showDocument(backup, answers), (look) => showText(look, backup, context.clock.now()));
    return answers.some((answer) => 'failure' in answer) ? 3 : 0;
  } finally {
    mesh.close();
  }
}

function showDocument({ manifest: { facts, digest }, copies }: Candidate, answers: readonly Answer[]): object {
  return {
    filename: facts.name,
    owner: facts.owner,
    identity: Buffer.from(facts.identity).toString('base64'),
    set: facts.set,
    sequence: facts.sequence,
    created_at: new Date(facts.createdAtMs).toISOString(),
    size: facts.size,
    format: facts.format,
    sha256: hex(facts.sha256),
    tree_root: hex(facts.treeRoot),
    manifest_digest: hex(digest),
    previous: facts.previous.length === 0 ? null : hex(facts.previous),
    verified: true,
    holders: copies.map(({ holder, receivedAt, doubt }) => ({
      name: holder.name,
      address: holder.place,
      received_at: receivedAt === null ? null : new Date(receivedAt).toISOString(),
      problem: doubt,
    })),
    peers: peersDocument(answers),
  };
}

function showText(look: Look, { manifest: { facts, digest }, copies }: Candidate, now: number): string {
  const previous = facts.previous.length === 0 ? 'none: it is the first of its set' : hex(facts.previous);
  const said = [
    ['backup', facts.name],
    ['owner', `${facts.owner} (${Buffer.from(facts.identity).toString('base64')})`],
    ['set', `${facts.set}, number ${facts.sequence}`],
    ['made', `${formatTime(facts.createdAtMs)} (${formatMoment(facts.createdAtMs, now)})`],
    ['size', `${formatByteSize(facts.size)} (${facts.size} bytes)`],
    ['format', facts.format === '' ? 'not known' : facts.format],
    ['sha256', hex(facts.sha256)],
    ['tree root', hex(facts.treeRoot)],
    ['manifest', `${hex(digest)} (its signature is right)`],
    ['previous', previous],
  ] as const;
  const about = renderTable(
    look,
    [],
    said.map(([label, text]) => [{ text: label, dress: look.dim }, text]),
  );
  const holders = renderTable(
    look,
    ['HELD BY', 'ADDRESS', 'RECEIVED'],
    copies.map((copy) => [copy.holder.name, copy.holder.place, receivedText(copy, now)]),
  );
  return `${about}${look.terminal ? '\n\n' : '\n'}${holders}`;
}

function receivedText({ receivedAt, doubt }: Copy, now: number): string {
  if (receivedAt !== null) return `${formatTime(receivedAt)} (${formatMoment(receivedAt, now)})`;
  return doubt === null ? 'made here' : `not proven: ${doubt}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
