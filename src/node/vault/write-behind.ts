import type { FileHandle } from 'node:fs/promises';
import { Failure } from '../../mesh/terms/failure.js';

/** Bytes that are written together. */
const runSize = 512 * 1024;
/** Pieces that one call of the system takes. */
const mostPieces = 1024;

/**
 * Writes pieces to a file, from its start on, one behind the other: several in one call, without putting them together
 * first, and while the next ones are made. One call at a time.
 */
export class WriteBehind {
  readonly #handle: FileHandle;
  #gathered: Uint8Array[] = [];
  #size = 0;
  #position = 0;
  /** The last run, on its way to the disk. */
  #writing: Promise<void> = Promise.resolve();

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Takes a piece over. @throws what the disk said of those before it */
  async add(piece: Uint8Array): Promise<void> {
    this.#gathered.push(piece);
    this.#size += piece.length;
    if (this.#size >= runSize || this.#gathered.length >= mostPieces) await this.#store();
  }

  /** Writes the rest. @throws what the disk said of any piece */
  async finish(): Promise<void> {
    await this.#store();
    await this.#writing;
  }

  /** Resolves when nothing is being written any more, well or badly. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  /** Begins to write what was gathered, once the run before it is written. */
  async #store(): Promise<void> {
    await this.#writing;
    this.#writing = writePieces(this.#handle, this.#gathered, this.#position);
    // It is told when the next one is to be written, or at the end.
    this.#writing.catch(() => {});
    this.#position += this.#size;
    this.#gathered = [];
    this.#size = 0;
  }
}

/** Writes all of the pieces at a place: one call may take only some of them. */
async function writePieces(handle: FileHandle, pieces: readonly Uint8Array[], position: number): Promise<void> {
  let at = position;
  for (let left = pieces; left.length > 0; ) {
    const { bytesWritten } = await handle.writev(left, at);
    if (bytesWritten === 0) throw new Failure('failed', 'the disk takes no more bytes');
    at += bytesWritten;
    left = withoutStart(left, bytesWritten);
  }
}

function withoutStart(pieces: readonly Uint8Array[], length: number): readonly Uint8Array[] {
  let rest = length;
  for (const [index, piece] of pieces.entries()) {
    if (rest < piece.length) return [piece.subarray(rest), ...pieces.slice(index + 1)];
    rest -= piece.length;
  }
  return [];
}
