import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { defaultSet, formatBackupName, kitSet } from '../../../mesh/terms/backup-name.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { fewNames } from '../../../mesh/terms/few-names.js';
import { formatTime } from '../../render/moments.js';
import { type Candidate, candidatesOf, type FoundBackup } from '../../survey/found.js';

/**
 * The backup that a person means.
 * @param reference a file name, the beginning of a digest (of the file, or of the manifest), or `latest` of the usual set
 * @throws Failure `not-found`; `usage` when it fits several; `untrusted` when it is there, but not to be believed
 */
export function choose(backups: readonly FoundBackup[], reference: string): Candidate {
  if (reference === 'latest') {
    const newest = newestOf(ofUsualSet(backups));
    if (newest === undefined) throw nothing('there is no verified backup', backups);
    return newest;
  }
  const fitting = candidatesOf(backups).filter((candidate) => fits(candidate.manifest, reference));
  const [only, another] = fitting;
  if (only === undefined)
    throw nothing(`there is no verified backup ${JSON.stringify(reference)}`, backups, { reference });
  if (another !== undefined) throw ambiguous(reference, fitting);
  return only;
}

/**
 * The newest backup of the usual set made at a moment or before, by its owner's clock.
 * @param moment milliseconds since 1970
 * @throws Failure `not-found`
 */
export function chooseAt(backups: readonly FoundBackup[], moment: number): Candidate {
  const usual = ofUsualSet(backups);
  const early = usual.filter(({ facts }) => facts.createdAtMs <= moment);
  const newest = newestOf(early);
  if (newest === undefined) {
    const oldest = candidatesOf(usual).sort((a, b) => a.manifest.facts.createdAtMs - b.manifest.facts.createdAtMs)[0];
    throw nothing(`there is no verified backup from ${formatTime(moment)} or before`, early, { oldest });
  }
  return newest;
}

/**
 * Those of the set `backup`, which brings a server back; all of them where it is not held. The sets of one night are made one
 * after the other, so the backup that was made last is of whichever set is configured last.
 */
function ofUsualSet(backups: readonly FoundBackup[]): readonly FoundBackup[] {
  const usual = backups.filter(({ facts }) => facts.set === defaultSet);
  return candidatesOf(usual).length > 0 ? usual : backups;
}

/** Of each set but the kits the end of its chain; of those, the one made last. */
function newestOf(backups: readonly FoundBackup[]): Candidate | undefined {
  return setBySet(candidatesOf(backups).filter(({ manifest }) => manifest.facts.set !== kitSet))[0];
}

/** Set by set, each from the end of its chain on, whatever the clock of its owner did; the set whose end was made last first. */
export function setBySet(candidates: readonly Candidate[]): Candidate[] {
  const chains = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const { owner, set } = candidate.manifest.facts;
    const chain = chains.get(`${owner} ${set}`) ?? [];
    chains.set(`${owner} ${set}`, chain);
    chain.push(candidate);
  }
  const endOf = ([end]: readonly Candidate[]): number => end?.manifest.facts.createdAtMs ?? 0;
  return [...chains.values()]
    .map((chain) => chain.sort((a, b) => b.manifest.facts.sequence - a.manifest.facts.sequence))
    .sort((a, b) => endOf(b) - endOf(a))
    .flat();
}

/** A digest's beginning must have at least this many digits, so that a short word is not taken for one. */
const shortestPrefix = 4;

function fits({ facts, digest }: Pick<VerifiedManifest, 'facts' | 'digest'>, reference: string): boolean {
  if (facts.name === reference) return true;
  const prefix = reference.toLowerCase();
  if (prefix.length < shortestPrefix || !isHex(prefix)) return false;
  return hex(facts.sha256).startsWith(prefix) || hex(digest).startsWith(prefix);
}

function nothing(
  message: string,
  backups: readonly FoundBackup[],
  { reference, oldest }: { readonly reference?: string; readonly oldest?: Candidate | undefined } = {},
): Failure {
  const refused = backups.find(
    (backup) => backup.standing.kind !== 'verified' && (reference === undefined || fits(backup, reference)),
  );
  if (refused === undefined || refused.standing.kind === 'verified') {
    return new Failure('not-found', message, { hint: whatElse(reference, oldest) });
  }
  const holders = fewNames(refused.copies.map(({ holder }) => holder.described));
  return new Failure(
    'untrusted',
    `${message}: ${formatBackupName(refused.name)} on ${holders} is not to be believed: ${refused.standing.reason}`,
  );
}

function whatElse(reference: string | undefined, oldest: Candidate | undefined): string {
  if (reference !== undefined && isHex(reference) && reference.length < shortestPrefix) {
    return `Of a digest, give ${shortestPrefix} digits or more.`;
  }
  if (oldest === undefined) return 'Without a name, restore shows what there is; `anemone-peer list` does too.';
  const { name, createdAtMs } = oldest.manifest.facts;
  return `The oldest that is held is ${name}, from ${formatTime(createdAtMs)}.`;
}

function ambiguous(reference: string, fitting: readonly Candidate[]): Failure {
  const list = fitting.map(({ manifest: { facts } }) => `${facts.name} (sha256 ${hex(facts.sha256).slice(0, 16)}…)`);
  return new Failure('usage', `${JSON.stringify(reference)} fits ${fitting.length} backups: ${list.join(', ')}`, {
    hint: 'Give more digits of the digest.',
  });
}

function isHex(word: string): boolean {
  return /^[0-9a-f]+$/i.test(word);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
