import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { isRangeOfLeaves, leafSize } from '../../mesh/manifest/digest-tree.js';
import { Failure } from '../../mesh/terms/failure.js';

/** Ranges that the owner is told at most. */
const mostRanges = 1000;

/** Which leaves of a file have arrived: one bit a leaf, so 2 MiB of memory for a file of 1 TiB. */
export class LeafMap {
  readonly #bits: Uint8Array;
  readonly #size: number;
  /** Leaves of the whole file. */
  readonly count: number;
  #present = 0;

  /** @param size bytes of the file */
  constructor(size: number) {
    this.#size = size;
    this.count = Math.ceil(size / leafSize);
    this.#bits = new Uint8Array(Math.ceil(this.count / 8));
  }

  has(leaf: number): boolean {
    return ((this.#bits[leaf >>> 3] ?? 0) & (1 << (leaf & 7))) !== 0;
  }

  add(leaf: number): void {
    if (this.has(leaf)) return;
    this.#bits[leaf >>> 3] = (this.#bits[leaf >>> 3] ?? 0) | (1 << (leaf & 7));
    this.#present += 1;
  }

  get complete(): boolean {
    return this.#present === this.count;
  }

  get empty(): boolean {
    return this.#present === 0;
  }

  /** Bytes of one leaf; the last may be shorter. */
  lengthOf(leaf: number): number {
    return Math.min(leafSize, this.#size - leaf * leafSize);
  }

  /**
   * What has not arrived, in order. The answer stays small: where there are more than {@link mostRanges}, the last one takes in
   * all that follows, and leaves that are there already are passed over when they come again.
   */
  missing(): Range[] {
    const ranges: Range[] = [];
    for (let leaf = 0; leaf < this.count; leaf += 1) {
      if (this.has(leaf)) continue;
      const first = leaf;
      while (leaf < this.count && !(this.has(leaf) && ranges.length < mostRanges - 1)) leaf += 1;
      const offset = first * leafSize;
      ranges.push({ offset, length: Math.min(leaf * leafSize, this.#size) - offset });
    }
    return ranges;
  }
}

/** @throws Failure `invalid` */
export function checkRange(range: Range, size: number): void {
  if (isRangeOfLeaves(range, size)) return;
  const { offset, length } = range;
  throw new Failure(
    'invalid',
    `bytes ${offset} to ${offset + length} are no range of leaves in a file of ${size} bytes`,
  );
}
