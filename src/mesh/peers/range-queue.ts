/** Leaves that one holder brings. `end` comes nearer when another one takes over the rest. */
export interface Claim<H> {
  readonly holder: H;
  /** The first leaf that was claimed. */
  readonly start: number;
  /** The next leaf to arrive. */
  readonly next: number;
  /** The leaf behind the last one. */
  readonly end: number;
}

/** A run of leaves. */
export interface LeafRange {
  readonly start: number;
  /** The leaf behind the last one. */
  readonly end: number;
}

/**
 * Who brings which leaves of a backup next: holders that are asked for them, or connections that send them. Nobody waits
 * while something is missing that another one is slow with.
 */
export interface RangeQueue<H> {
  /**
   * What the holder is to bring next: leaves that nobody brings yet; else the second half of what another holder has most
   * left of; else the same few leaves as another holder, so that the faster one ends it. Null when it brings all that is
   * missing already.
   * @param most leaves of what nobody brings yet
   */
  take(holder: H, most?: number): Claim<H> | null;
  /** The next leaf of a claim is there. */
  arrived(claim: Claim<H>): void;
  /** Whether nothing that the claim has still to bring is missing any more. */
  isOver(claim: Claim<H>): boolean;
  /** Ends a claim; what it did not bring is there to be taken. */
  release(claim: Claim<H>): void;
  /** How many leaves are missing. */
  missing(): number;
}

/** Leaves that are asked for at once, at most: 4 MiB. */
export const longestRange = 64;
/** Fewer leaves than twice this are not worth two halves. */
const shortestHalf = 4;

/**
 * @param missing for each leaf, whether it is still to be brought; kept up to date by the queue
 * @param ranges what to give out first; together they cover all that is missing
 */
export function openRangeQueue<H>(missing: Uint8Array, ranges = rangesOf(missing)): RangeQueue<H> {
  type Open = { -readonly [Key in keyof Claim<H>]: Claim<H>[Key] };
  /** What nobody brings, the next one last. */
  const waiting = [...ranges].reverse();
  const claims = new Set<Claim<H>>();
  let left = missing.reduce((sum, one) => sum + one, 0);

  const claim = (holder: H, start: number, end: number): Claim<H> => {
    const taken: Open = { holder, start, next: start, end };
    claims.add(taken);
    return taken;
  };
  const isMissing = (first: number, end: number): boolean => missing.subarray(first, end).includes(1);

  /** The claims of others with something missing that the holder does not bring itself, the largest first. */
  function rivalsOf(holder: H): Open[] {
    const own = [...claims].filter((one) => one.holder === holder);
    return [...claims]
      .filter(
        (other) =>
          other.holder !== holder &&
          isMissing(other.next, other.end) &&
          own.every((one) => one.end <= other.next || other.end <= one.next),
      )
      .sort((a, b) => b.end - b.next - (a.end - a.next));
  }

  return {
    take(holder, most = longestRange) {
      for (let range = waiting.pop(); range !== undefined; range = waiting.pop()) {
        if (!isMissing(range.start, range.end)) continue;
        const end = Math.min(range.end, range.start + most);
        if (end < range.end) waiting.push({ start: end, end: range.end });
        return claim(holder, range.start, end);
      }
      const [rival] = rivalsOf(holder);
      if (rival === undefined) return null;
      const rest = rival.end - rival.next;
      if (rest < 2 * shortestHalf) return claim(holder, rival.next, rival.end);
      const middle = rival.next + Math.ceil(rest / 2);
      const taken = claim(holder, middle, rival.end);
      rival.end = middle;
      return taken;
    },
    arrived(arrived) {
      left -= missing[arrived.next] ?? 0;
      missing[arrived.next] = 0;
      (arrived as Open).next += 1;
    },
    isOver: ({ next, end }) => !isMissing(next, end),
    release(released) {
      claims.delete(released);
      if (isMissing(released.next, released.end)) waiting.push({ start: released.next, end: released.end });
    },
    missing: () => left,
  };
}

/** Ranges that cover all that is missing, from the start of the file, each beginning with a missing leaf. */
function rangesOf(missing: Uint8Array): readonly LeafRange[] {
  const ranges: LeafRange[] = [];
  for (let start = missing.indexOf(1); start !== -1; start = missing.indexOf(1, start)) {
    const last = missing.subarray(start, start + longestRange).lastIndexOf(1);
    ranges.push({ start, end: start + last + 1 });
    start += last + 1;
  }
  return ranges;
}
