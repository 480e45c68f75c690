import { manifestDigest } from '../../mesh/manifest/manifest.js';
import type { BriefEntry, ListQuestion } from '../../mesh/peers/list-backups.js';
import type { Failure } from '../../mesh/terms/failure.js';
import { mostManifestsAsked } from '../../mesh/wire/limits.js';
import { type AskOptions, askHolder } from './ask-holder.js';
import type { Answer, Held, Shown } from './found.js';

/** What a holder has answered, while the manifests of some of its entries are still to come. */
export interface Told extends Held {
  /** Examined. */
  readonly held: (Shown | string)[];
  /** In brief, and not examined yet. */
  open: BriefEntry[];
  minimumDays?: Held['minimumDays'];
}

/**
 * Brings the manifests of entries in brief, so that these can be examined. Each is asked of one holder that shows it: the first
 * to answer. What that one does not give, or gives with a signature that proves nothing, is asked of all others that show
 * it, at once. A holder that does not give what it has just shown is told of; one that breaks off meanwhile is accused of
 * nothing.
 */
export class ManifestGathering {
  readonly #options: AskOptions;
  readonly #told: Told[] = [];
  readonly #asked = new Set<string>();
  readonly #silent = new Map<Told, Failure>();

  constructor(options: AskOptions) {
    this.#options = options;
  }

  /** Asks a holder that has answered for what nobody has brought, or was asked for, so far. */
  async add(told: Told): Promise<void> {
    this.#told.push(told);
    this.#settle(told);
    const wanted = digestsOf(told.open).filter((digest) => !this.#asked.has(digest));
    for (const digest of wanted) this.#asked.add(digest);
    await this.#ask(told, wanted);
  }

  /** Asks the others for what is still missing. Afterwards entries are open only of a holder that did not answer this time. */
  async finish(): Promise<void> {
    for (const told of this.#told) this.#settle(told);
    const others = this.#told.filter((told) => !this.#silent.has(told));
    await Promise.all(others.map((told) => this.#ask(told, digestsOf(told.open))));
    for (const told of this.#told) this.#settle(told);
  }

  /** What a holder has said, when all is finished: nothing, when it broke off before it gave what nobody else gives. */
  answerOf(told: Told): Answer {
    const failure = this.#silent.get(told);
    return failure === undefined || told.open.length === 0 ? told : { holder: told.holder, failure };
  }

  #settle(told: Told): void {
    examineOpen(told, (entry) => this.#options.examiner.brief(entry, told.holder));
  }

  async #ask(told: Told, digests: readonly string[]): Promise<void> {
    if (digests.length === 0) return;
    const { holder } = told;
    const given = new Map<string, Shown | string>();
    const failure = await askHolder(holder, questionsAbout(digests), this.#options, ({ backups }) => {
      for (const held of backups) {
        if (held.manifest === undefined) continue;
        given.set(manifestDigest(held.manifest).toString('hex'), this.#options.examiner.whole(held, holder));
      }
    });
    if (failure !== null) this.#silent.set(told, failure);
    const wanted = new Set(failure === null ? digests : []);
    examineOpen(told, (entry) => {
      const refusal = wanted.has(entry.manifestDigest)
        ? `${nameOf(entry)}, and does not give it: removed since, or never there`
        : null;
      return given.get(entry.manifestDigest) ?? refusal;
    });
  }
}

function questionsAbout(digests: readonly string[]): ListQuestion[] {
  const questions: ListQuestion[] = [];
  for (let start = 0; start < digests.length; start += mostManifestsAsked) {
    questions.push({ owner: '', set: '', manifestDigests: digests.slice(start, start + mostManifestsAsked) });
  }
  return questions;
}

/** Examines what can be; where `examine` says nothing yet, an entry stays open. */
function examineOpen(told: Told, examine: (entry: BriefEntry) => Shown | string | null): void {
  told.open = told.open.filter((entry) => {
    const shown = examine(entry);
    if (shown !== null) told.held.push(shown);
    return shown === null;
  });
}

function digestsOf(entries: readonly BriefEntry[]): string[] {
  return [...new Set(entries.map(({ manifestDigest }) => manifestDigest))];
}

function nameOf({ manifestDigest }: BriefEntry): string {
  return `a backup with the manifest ${manifestDigest.slice(0, 16)}…`;
}
