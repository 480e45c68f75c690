import { createHash, type Hash, hash } from 'node:crypto';

/** Bytes of a leaf. The last leaf of a file may be shorter; an empty file has no leaf. */
export const leafSize = 65_536;
/** Bytes of the hash of a leaf. */
export const hashSize = 32;

/** Whether a range of bytes starts on a leaf of a file of this size, and ends on one, or at the end of the file. */
export function isRangeOfLeaves({ offset, length }: { offset: number; length: number }, size: number): boolean {
  const end = offset + length;
  const aligned = offset % leafSize === 0 && (end % leafSize === 0 || end === size);
  return aligned && Number.isSafeInteger(end) && offset >= 0 && length > 0 && end <= size;
}

const leafPrefix = Buffer.from([0]);
const nodePrefix = Buffer.from([1]);

/** Hash of one leaf, as in RFC 9162, section 2.1.1: SHA-256 over a zero byte and the leaf. */
export function leafHash(leaf: Uint8Array): Buffer {
  return createHash('sha256').update(leafPrefix).update(leaf).digest();
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return createHash('sha256').update(nodePrefix).update(left).update(right).digest();
}

/** The root of a SHA-256 tree (RFC 9162, section 2.1.1) over leaves given in order; memory grows with their logarithm. */
export class DigestTree {
  /** Roots of complete subtrees, from the largest to the smallest; the count of leaves in binary says how many. */
  readonly #subtrees: Uint8Array[] = [];
  #leaves = 0;

  addLeaf(leaf: Uint8Array): void {
    let subtree = leaf;
    for (let size = this.#leaves; size % 2 === 1; size = (size - 1) / 2) {
      subtree = nodeHash(this.#subtrees.pop() ?? subtree, subtree);
    }
    this.#subtrees.push(subtree);
    this.#leaves += 1;
  }

  root(): Buffer {
    const last = this.#subtrees.at(-1);
    if (last === undefined) return hash('sha256', '', 'buffer');
    return Buffer.from(this.#subtrees.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last));
  }
}

/** Size, SHA-256 and tree root of a file in one pass, from chunks of any size. */
export class FileDigest {
  readonly #file: Hash = createHash('sha256');
  readonly #tree = new DigestTree();
  #leaf: Hash | null = null;
  readonly #onLeaf: (hash: Buffer) => void;
  #filled = 0;
  #size = 0;

  /** @param onLeaf told the hash of each leaf, in order; of the last one only by {@link finish} */
  constructor(onLeaf: (hash: Buffer) => void = () => {}) {
    this.#onLeaf = onLeaf;
  }

  update(chunk: Uint8Array): void {
    this.#file.update(chunk);
    this.#size += chunk.length;
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + leafSize - this.#filled);
      this.#leaf ??= createHash('sha256').update(leafPrefix);
      this.#leaf.update(part);
      this.#filled += part.length;
      offset += part.length;
      if (this.#filled === leafSize) this.#closeLeaf();
    }
  }

  finish(): { readonly size: number; readonly sha256: Buffer; readonly treeRoot: Buffer } {
    this.#closeLeaf();
    return { size: this.#size, sha256: this.#file.digest(), treeRoot: this.#tree.root() };
  }

  #closeLeaf(): void {
    if (this.#leaf === null) return;
    const hash = this.#leaf.digest();
    this.#tree.addLeaf(hash);
    this.#onLeaf(hash);
    this.#leaf = null;
    this.#filled = 0;
  }
}
