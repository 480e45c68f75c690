import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { fewNames } from '../../mesh/terms/few-names.js';
import type { Answer, Finding, FoundBackup, Held, Owed } from './found.js';
import type { Holder } from './holders.js';

const day = 24 * 3600 * 1000;
/** Days before the newest backup of a set in which a missing one is worth a word: whatever a holder says that it keeps. */
const recent = 7;
/** Days that clocks may be apart: a backup is dated by its owner's, and removed by its holder's. */
const slack = 1;

interface Link {
  readonly manifest: VerifiedManifest;
  readonly holders: ReadonlySet<Holder>;
}

/** What answers are compared with beside each other. */
export interface Circumstances {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly owed: Owed;
}

/**
 * What the chains of verified manifests say against the answers: two backups in one place of a chain, a holder whose
 * chain ends earlier than another's, a holder that leaves out recent ones in between, which its retention keeps. A holder that
 * shows nothing of a set is not named here: it may not be one of the peers that keep it. What a holder is still owed is not
 * expected of it.
 */
export function chainFindings(
  answers: readonly Answer[],
  backups: readonly FoundBackup[],
  { now, owed }: Circumstances,
): Finding[] {
  const findings: Finding[] = [];
  const lacking = new Map<Holder, Link[]>();
  for (const chain of chainsOf(backups)) {
    findings.push(...forks(chain));
    for (const answer of answers) {
      if (!('held' in answer)) continue;
      const { holder } = answer;
      const isOwed = ({ manifest: { facts }, holders }: Link): boolean =>
        !holders.has(holder) && owed.get(holder.name)?.backups.has(facts.name) === true;
      lacking.set(holder, [...(lacking.get(holder) ?? []), ...chain.filter(isOwed)]);
      const expected = chain.filter((link) => !isOwed(link));
      findings.push(...omissions(answer, expected, now));
    }
  }
  return [...findings, ...[...lacking].flatMap(([holder, links]) => stillOwed(holder, links, owed))];
}

function stillOwed({ name }: Holder, lacking: readonly Link[], owed: Owed): Finding[] {
  const owner = lacking[0]?.manifest.facts.owner;
  if (owner === undefined) return [];
  const problem = owed.get(name)?.problem;
  const count = `${lacking.length} ${lacking.length === 1 ? 'backup' : 'backups'}`;
  const message = `${name} lacks ${count} of ${owner} so far${problem === undefined ? '' : `: ${problem.message}`}`;
  return [{ peer: name, owner, kind: 'owed', message }];
}

/** Verified backups by owner and set, each in the order of its sequence. */
function chainsOf(backups: readonly FoundBackup[]): Link[][] {
  const chains = new Map<string, Link[]>();
  for (const { standing, copies } of backups) {
    if (standing.kind !== 'verified') continue;
    const { manifest } = standing;
    const key = `${manifest.facts.owner} ${manifest.facts.set}`;
    const chain = chains.get(key) ?? [];
    chains.set(key, chain);
    chain.push({ manifest, holders: new Set(copies.map((copy) => copy.holder)) });
  }
  const sorted = [...chains.values()];
  for (const chain of sorted) chain.sort((a, b) => a.manifest.facts.sequence - b.manifest.facts.sequence);
  return sorted;
}

/** Backups that exclude each other: the same sequence, or a successor that names another predecessor. */
function forks(chain: readonly Link[]): Finding[] {
  const findings: Finding[] = [];
  const places = new Map<number, Link[]>();
  for (const [index, { manifest, holders }] of chain.entries()) {
    const { facts } = manifest;
    const twin = chain[index - 1]?.manifest.facts;
    const before = places.get(facts.sequence - 1) ?? [];
    places.set(facts.sequence, [...(places.get(facts.sequence) ?? []), { manifest, holders }]);
    const add = (what: string): void => {
      for (const { name, described } of holders) {
        findings.push({ peer: name, owner: facts.owner, kind: 'conflict', message: `${what} (seen on ${described})` });
      }
    };
    if (twin?.sequence === facts.sequence) {
      add(
        `${facts.owner} signed two backups as number ${facts.sequence} of its set ${facts.set}, and ${facts.name} is one`,
      );
    } else if (before.length > 0 && !before.some((link) => link.manifest.digest.equals(facts.previous))) {
      add(
        `${facts.name} does not follow ${before[0]?.manifest.facts.name}, which is number ${facts.sequence - 1} before it`,
      );
    }
  }
  return findings;
}

function omissions(answer: Held, chain: readonly Link[], now: number): Finding[] {
  const { holder } = answer;
  const shown = chain.filter((link) => link.holders.has(holder));
  const [oldest, newest, end] = [shown[0], shown.at(-1), chain.at(-1)];
  if (oldest === undefined || newest === undefined || end === undefined) return [];
  const findings: Finding[] = [];
  const { owner, set } = end.manifest.facts;
  if (newest.manifest.facts.sequence < end.manifest.facts.sequence) {
    findings.push({
      peer: holder.name,
      owner,
      kind: 'behind',
      message:
        `${holder.described} shows an older end of ${owner}'s set ${set}: number ${newest.manifest.facts.sequence}, ` +
        `while number ${end.manifest.facts.sequence} is on ${namesOf(end.holders)}`,
    });
  }
  const since = keptSince(answer, end.manifest, now);
  const missing = chain.filter(
    ({ manifest: { facts }, holders }) =>
      !holders.has(holder) &&
      facts.createdAtMs > since &&
      facts.sequence > oldest.manifest.facts.sequence &&
      facts.sequence < newest.manifest.facts.sequence,
  );
  if (missing.length > 0) {
    const names = missing.map(({ manifest, holders }) => `${manifest.facts.name} (on ${namesOf(holders)})`);
    findings.push({
      peer: holder.name,
      owner,
      kind: 'gap',
      message: `${holder.described} leaves out ${names.join(', ')}`,
    });
  }
  return findings;
}

/**
 * Backups of a set that were made later than this are held to the word of their holder. Retention goes on also where no newer
 * one comes, as of a server that is lost. What came late stays for longer than is asked here, since its days count from then.
 */
function keptSince({ holder, minimumDays }: Held, { facts }: VerifiedManifest, now: number): number {
  const told = (facts.owner === holder.name ? minimumDays?.local : minimumDays?.peers) ?? recent;
  return Math.max(facts.createdAtMs - recent * day, Math.max(facts.createdAtMs, now) - (told - slack) * day);
}

function namesOf(holders: ReadonlySet<Holder>): string {
  return fewNames([...holders].map((holder) => holder.name));
}
