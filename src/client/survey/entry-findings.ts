import type { Copy, Examined, Finding } from './found.js';
import type { Holder } from './holders.js';

/** How many of one sort are named. */
const mostNamed = 3;

/** What one holder shows of one sort. */
interface Sort {
  readonly holder: Holder;
  /** Whose backups they are, or say that they are; null where nothing says it. */
  readonly owner: string | null;
  /** The first ones. */
  readonly named: string[];
  count: number;
  /** What the holder does with them. */
  readonly does: (them: string) => string;
}

/**
 * What the entries of answers say against their holders. A holder could show a hundred thousand that are not to be believed: those
 * of one sort, of one owner, are one finding, which names the first ones.
 */
export class EntryFindings {
  readonly #sorts = new Map<string, Sort>();

  /** @param shown an entry of which nothing can be displayed, in words that follow "shows" */
  addUnreadable(holder: Holder, shown: string): void {
    this.#add(holder, null, 'unreadable', shown, (them) => `shows ${them}`);
  }

  /** Adds what a copy of a backup says against its holder, if anything. */
  add({ holder, doubt }: Copy, { facts, standing }: Examined): void {
    if (standing.kind === 'forged') {
      const forged = `${facts.name} (${standing.reason})`;
      this.#add(holder, facts.owner, 'forged', forged, (them) => `shows ${them}, not to be believed`);
    } else if (standing.kind === 'verified' && doubt !== null) {
      const unproven = `${facts.name} (${doubt})`;
      this.#add(holder, facts.owner, 'unproven', unproven, (them) => `does not prove that it holds ${them}`);
    }
  }

  findings(): Finding[] {
    return [...this.#sorts.values()].map(({ holder, owner, named, count, does }) => {
      const more = count > named.length ? [`and ${count - named.length} more`] : [];
      const message = `${holder.described} ${does([...named, ...more].join('; '))}`;
      return { peer: holder.name, owner, kind: 'forged', message };
    });
  }

  #add(holder: Holder, owner: string | null, sort: string, what: string, does: Sort['does']): void {
    const key = `${holder.described} ${sort} ${owner}`;
    const known = this.#sorts.get(key) ?? { holder, owner, named: [], count: 0, does };
    this.#sorts.set(key, known);
    known.count += 1;
    if (known.named.length < mostNamed) known.named.push(what);
  }
}
