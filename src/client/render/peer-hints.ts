/** What to do about a peer. */
export interface PeerHint {
  /** Its hostname. */
  readonly name: string;
  readonly hint: string;
}

/** Where the name stood; no hint has it. */
const blank = '\0';
/** What a peer says itself begins with its address, which no two have alike. */
const itself = new RegExp(`^${blank}(?: \\([^)]*\\))? says: `);

/** What to do about peers, each thing once: what differs by the name of the peer only is said with the names of all. */
export function peerHints(hints: readonly PeerHint[]): string[] {
  const alike = new Map<string, Set<string>>();
  for (const { name, hint } of hints) {
    const inGeneral = hint.replace(new RegExp(`(?<![\\w-])${name}(?![\\w-])`, 'g'), blank);
    const nameless = inGeneral.replace(itself, `${blank} says: `);
    alike.set(nameless, (alike.get(nameless) ?? new Set()).add(name));
  }
  return [...alike].map(([nameless, names]) => {
    const all = [...names].join(', ').replace(/, ([^,]*)$/, ' and $1');
    const said = names.size > 1 ? nameless.replace(itself, `${blank} say: `) : nameless;
    return said.replaceAll(blank, all);
  });
}
