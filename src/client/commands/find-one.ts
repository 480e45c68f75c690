import { choose } from '../restore/choosing/choose.js';
import type { Context } from '../session/context.js';
import type { ReceiptCheck } from '../survey/examine.js';
import type { Answer, Candidate } from '../survey/found.js';
import type { Mesh } from '../survey/mesh.js';
import { findingsAbout, nobodyAnswered, silence, survey } from '../survey/survey.js';

/**
 * The one backup that `show` and `fetch` are about, with the warnings that concern it. `latest` is of this server.
 * @returns what everyone answered, beside the backup
 * @throws Failure `not-found`, `usage` when several fit, `untrusted` when it is not to be believed
 */
export async function findOne(
  context: Context,
  mesh: Mesh,
  reference: string,
  receipts: ReceiptCheck = 'read',
): Promise<{ readonly backup: Candidate; readonly answers: readonly Answer[] }> {
  const found = await survey(context, mesh, { owner: reference === 'latest' ? mesh.owner : '', set: '' }, receipts);
  const nobody = nobodyAnswered(found);
  if (nobody !== null) throw nobody;
  for (const answer of found.answers) {
    if ('failure' in answer) context.screen.warn(silence(answer));
  }
  const backup = choose(found.backups, reference);
  for (const { kind, message } of findingsAbout(found, backup.manifest.facts.owner)) {
    if (kind === 'forged' || kind === 'conflict') context.screen.warn(message);
  }
  return { backup, answers: found.answers };
}
