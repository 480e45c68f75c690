import type { BriefEntry } from '../mesh/generated/anemone/peer/v1/peer.js';
import { manifestDigest } from '../mesh/manifest/manifest.js';
import type { Failure } from '../mesh/terms/failure.js';
import { mostManifestsAsked } from '../mesh/wire/limits.js';
import { type AskOptions, askHolder } from './ask-holder.js';
import { digestKey } from './examine.js';
import type { Shown } from './found.js';
import type { Holder } from './holders.js';

/** What a holder has answered, while the manifests of some of its entries are still to come. */
export interface Told {
  readonly holder: Holder;
  /** Examined. */
  readonly held: (Shown | string)[];
  /** In brief, and not examined yet. */
  open: BriefEntry[];
}

/**
 * Examines the entries in brief. Each manifest that nobody has brought so far is asked of one holder that shows it: the one
 * that answered first. What that one does not give, or gives with a signature that proves nothing, is asked of all others that
 * show it, at once. Who is asked, and does not give what it has just shown, is told of; so is what nobody gives.
 * @param told in the order in which they answered
 */
export async function gatherManifests(told: readonly Told[], options: AskOptions): Promise<void> {
  const silent = new Map<Told, Failure>();
  const settle = (): void => {
    for (const each of told) examineOpen(each, (entry) => options.examiner.brief(entry, each.holder));
  };
  settle();
  for (const questions of [oneEach, allOfEach]) {
    const asked = questions(told.filter((each) => !silent.has(each)));
    await Promise.all(
      [...asked].map(async ([each, wanted]) => {
        const failure = await askForWhole(each, wanted, options);
        if (failure !== null) silent.set(each, failure);
      }),
    );
    settle();
  }
  for (const each of told) {
    const why = silent.get(each)?.message ?? 'nobody gives its manifest';
    examineOpen(each, (entry) => `${nameOf(entry)}, but ${why}`);
  }
}

/** Each open manifest once, of the first that shows it. */
function oneEach(told: readonly Told[]): Map<Told, ReadonlySet<string>> {
  const taken = new Set<string>();
  const questions = new Map<Told, ReadonlySet<string>>();
  for (const each of told) {
    const wanted = keysOf(each.open).filter((key) => !taken.has(key));
    for (const key of wanted) taken.add(key);
    if (wanted.length > 0) questions.set(each, new Set(wanted));
  }
  return questions;
}

function allOfEach(told: readonly Told[]): Map<Told, ReadonlySet<string>> {
  const open = told.filter((each) => each.open.length > 0);
  return new Map(open.map((each) => [each, new Set(keysOf(each.open))]));
}

async function askForWhole(each: Told, wanted: ReadonlySet<string>, options: AskOptions): Promise<Failure | null> {
  const { holder } = each;
  const given = new Map<string, Shown | string>();
  const failure = await askHolder(holder, questionsAbout([...wanted]), options, ({ backups }) => {
    for (const held of backups) {
      if (held.manifest === undefined) continue;
      given.set(digestKey(manifestDigest(held.manifest)), options.examiner.whole(held, holder));
    }
  });
  examineOpen(each, (entry) => {
    const key = digestKey(entry.manifestDigest);
    const isRefused = failure === null && wanted.has(key);
    return given.get(key) ?? (isRefused ? `${nameOf(entry)}, and does not give its manifest` : null);
  });
  return failure;
}

function questionsAbout(keys: readonly string[]) {
  const questions = [];
  for (let start = 0; start < keys.length; start += mostManifestsAsked) {
    const manifestDigests = keys.slice(start, start + mostManifestsAsked).map((key) => Buffer.from(key, 'latin1'));
    questions.push({ owner: '', set: '', manifestDigests });
  }
  return questions;
}

/** Examines what can be; where `examine` says nothing yet, an entry stays open. */
function examineOpen(each: Told, examine: (entry: BriefEntry) => Shown | string | null): void {
  each.open = each.open.filter((entry) => {
    const shown = examine(entry);
    if (shown !== null) each.held.push(shown);
    return shown === null;
  });
}

function keysOf(entries: readonly BriefEntry[]): string[] {
  return entries.map(({ manifestDigest }) => digestKey(manifestDigest));
}

function nameOf({ manifestDigest }: BriefEntry): string {
  return `a backup whose manifest has the digest ${Buffer.from(manifestDigest.subarray(0, 8)).toString('hex')}…`;
}
