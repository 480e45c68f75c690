import { Failure } from '../../mesh/terms/failure.js';
import { diskFailure } from './disk.js';
import type { HeldEntry, Sidecar } from './held-entry.js';
import type { Parts } from './parts.js';

/** Says whether what stands beside backups still is what their owner and this server signed. */
export class Proving {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * What the sidecar of a backup says, proven.
   * @throws Failure `damaged`, and then the backup is in quarantine; `not-found` when it was removed meanwhile; `untrusted`
   * when its owner has another identity by now, which has damaged nothing
   */
  async sidecar(entry: HeldEntry): Promise<Sidecar> {
    const { sidecars, putAside } = this.#parts;
    try {
      return await sidecars.read(entry);
    } catch (thrown) {
      const { kind, message } = Failure.from(thrown);
      if (kind === 'damaged') await putAside(entry, message);
      throw thrown;
    }
  }

  /**
   * The same, with the receipt as this server gives it now: nobody else believes one of an identity or of a node key that it had
   * before. Under the same key it is the same one.
   * @throws Failure as {@link sidecar} does
   */
  async held(entry: HeldEntry): Promise<Sidecar> {
    const sidecar = await this.sidecar(entry);
    const { digest, receivedAt } = entry;
    return receivedAt === null ? sidecar : { ...sidecar, receipt: this.#parts.acknowledge(digest, receivedAt) };
  }

  /**
   * Proves the manifest of a backup, unless that was done since the start.
   * @throws Failure as {@link sidecar} does
   */
  async proven(entry: HeldEntry): Promise<void> {
    if (!this.#parts.sidecars.isProven(entry)) await this.sidecar(entry);
  }

  /**
   * Proves the manifests of backups, and the sizes of their files. Those that are damaged go to quarantine; one whose owner
   * has another identity by now is left as it is, and so is one that is removed meanwhile.
   * @throws Failure when the disk cannot read one: whether it is lost is for an examination to say, not for all at once
   */
  async prove(entries: readonly HeldEntry[]): Promise<void> {
    const { inventory, keeping, turnOf } = this.#parts;
    for (const entry of entries) {
      const isIntact = async () => inventory.find(entry.name) === entry && keeping.isIntact(entry);
      try {
        if (await turnOf(entry.name)(isIntact)) await this.sidecar(entry);
      } catch (thrown) {
        const failure = diskFailure(thrown, entry.name);
        if (!['damaged', 'untrusted', 'not-found'].includes(failure.kind)) throw failure;
      }
    }
  }
}
