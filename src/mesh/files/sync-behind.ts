/** Bytes that may wait for the disk before it is asked for them. Twice as many can be on their way. */
const syncedAtOnce = 16 * 2 ** 20;

/** The calls that it makes of a file. */
interface Syncable {
  datasync(): Promise<void>;
}

/**
 * Makes a large file durable while it is written: what has been written goes to the disk while the next bytes arrive, so that
 * the fsync at the end has little left to do. Where the disk is slower than what arrives, the writer waits for it all along,
 * and not for minutes at the end, when whoever sends sees no byte move.
 *
 * A sync that failed is told to every call that follows: the system tells nobody twice, and a later fsync would succeed.
 */
export class SyncBehind {
  readonly #file: Syncable;
  #written = 0;
  #syncing: Promise<void> = Promise.resolve();
  /** The sync before that one. */
  #before: Promise<void> = Promise.resolve();

  constructor(file: Syncable) {
    this.#file = file;
  }

  /**
   * To be told of each write that is done. Every writer waits while two syncs are not over: of those side by side, one would
   * wait for the disk, and the others would run ahead.
   * @throws what an earlier sync threw
   */
  async wrote(bytes: number): Promise<void> {
    this.#written += bytes;
    if (this.#written >= syncedAtOnce) {
      this.#written = 0;
      this.#before = this.#syncing;
      this.#syncing = this.#before.then(() => this.#file.datasync());
      // It is told to the next call.
      this.#syncing.catch(() => {});
    }
    await this.#before;
  }

  /** Waits for what was begun, which makes no promise about the last bytes. @throws what one of the syncs threw */
  settled(): Promise<void> {
    return this.#syncing;
  }
}
