import type { Draw } from './samples.js';

/**
 * The same ones, from a place on that is drawn. Who is asked first may be slow on purpose: it holds up a night, and would hold up
 * each of them if it were always the same.
 */
export function byLot<T>(list: readonly T[], draw: Draw): T[] {
  const first = draw(Math.max(1, list.length));
  return [...list.slice(first), ...list.slice(0, first)];
}
