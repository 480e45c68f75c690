import type { FileHandle } from 'node:fs/promises';
import { SyncBehind } from '../../mesh/files/sync-behind.js';
import { Failure } from '../../mesh/terms/failure.js';

interface OpenPart {
  readonly handle: FileHandle;
  readonly behind: SyncBehind;
}

/** The file with the bytes that have arrived of an upload: one for all who use it, and open only while somebody does. */
export class PartFile {
  readonly #openNow: () => Promise<FileHandle>;
  #part: Promise<OpenPart> | null = null;
  #users = 0;

  /** @param open what opens it, for the first one who enters */
  constructor(open: () => Promise<FileHandle>) {
    this.#openNow = open;
  }

  get idle(): boolean {
    return this.#users === 0;
  }

  /** Opens it, for as long as the caller needs it; every call is followed by one of {@link leave}. @throws what the disk threw */
  async enter(): Promise<void> {
    this.#users += 1;
    this.#part ??= this.#open();
    const opening = this.#part;
    try {
      await opening;
    } catch (thrown) {
      this.#users -= 1;
      if (this.#part === opening) this.#part = null;
      throw thrown;
    }
  }

  /** What is open, for who has entered. */
  opened(): Promise<OpenPart> {
    if (this.#part === null) throw new Failure('failed', 'the file of an upload is used that is not open');
    return this.#part;
  }

  /** @returns what was open, for the last one to sync and close: whoever enters from now on opens it anew; null for all others */
  leave(): Promise<OpenPart> | null {
    this.#users -= 1;
    if (this.#users > 0) return null;
    const part = this.#part;
    this.#part = null;
    return part;
  }

  async #open(): Promise<OpenPart> {
    const handle = await this.#openNow();
    return { handle, behind: new SyncBehind(handle) };
  }
}
