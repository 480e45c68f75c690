/** A random whole number from 0 up to `below`, without it; as `crypto.randomInt`. */
export type Draw = (below: number) => number;

/**
 * Picks indexes of leaves at random, each set of them as likely as any other (Floyd's way: one draw for each).
 * @returns ascending; all of them when `wanted` is as many as there are
 */
export function pickLeaves(count: number, wanted: number, draw: Draw): number[] {
  const picked = new Set<number>();
  for (let last = Math.max(0, count - wanted); last < count; last += 1) {
    const leaf = draw(last + 1);
    picked.add(picked.has(leaf) ? last : leaf);
  }
  return [...picked].sort((a, b) => a - b);
}
