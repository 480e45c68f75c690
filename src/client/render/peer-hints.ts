/** What to do about a peer. */
export interface PeerHint {
  /** Its hostname. */
  readonly name: string;
  readonly hint: string;
}

/** Where the name stood; no hint has it. */
const blank = '\0';

/** What to do about peers, each thing once: what differs by the name of the peer only is said with the names of all. */
export function peerHints(hints: readonly PeerHint[]): string[] {
  const alike = new Map<string, Set<string>>();
  for (const { name, hint } of hints) {
    const nameless = hint.replace(new RegExp(`(?<![\\w-])${name}(?![\\w-])`, 'g'), blank);
    alike.set(nameless, (alike.get(nameless) ?? new Set()).add(name));
  }
  return [...alike].map(([nameless, names]) =>
    nameless.replaceAll(blank, [...names].join(', ').replace(/, ([^,]*)$/, ' and $1')),
  );
}
