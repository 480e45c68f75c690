import type { SignedReceipt } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Staged } from './commit-file.js';
import { diskFailure, onDisk } from './disk.js';
import type { Examining } from './examining.js';
import type { HeldEntry } from './held-entry.js';
import { checkRange } from './leaf-map.js';
import type { Parts } from './parts.js';
import { openRangeWriter, type RangeWriter } from './range-writer.js';
import type { Upload } from './upload.js';

/** Ranges that one owner may send at the same time; each has two files open and 1 MiB of memory. */
const mostOfOneOwner = 16;

/** The answer to an offer, and to a range that has ended: the receipt of what is held, or what is missing. */
export type PushAnswer = { readonly held: SignedReceipt } | { readonly missing: Range[] };

/** One range of a backup that is arriving. One call at a time; `finish` or `abort` ends it. */
export interface RangeReceiver {
  /** @throws Failure `invalid` as soon as there is more than the range has */
  write(...chunks: readonly Uint8Array[]): Promise<void>;
  /**
   * Ends the range. With the last missing leaf the backup is committed, and the receipt says that it is durable; a range
   * that ended early is simply still missing.
   * @throws Failure `damaged` when all has arrived and is not what the manifest says; then all of it is thrown away
   */
  finish(): Promise<PushAnswer>;
  /** Ends the range where it is; the whole leaves that arrived stay for the next offer. Never throws. */
  abort(): Promise<void>;
}

/** How backups come in from peers: theirs, and own ones that were damaged here. */
export class Receiving {
  readonly #parts: Parts;
  readonly #examining: Examining;
  /** Ranges that have not ended, with the owner that sends each. */
  readonly #open = new Map<RangeReceiver, Hostname>();
  /** What is asked of ranges and not answered yet. */
  readonly #calls = new Set<Promise<unknown>>();
  #isStopping = false;

  constructor(parts: Parts, examining: Examining) {
    this.#parts = parts;
    this.#examining = examining;
  }

  async offer(owner: Hostname, manifest: VerifiedManifest): Promise<PushAnswer> {
    const { name } = manifest.facts;
    if (manifest.name.owner !== owner) {
      throw new Failure('forbidden', `${owner} may not store ${name} here: a server stores its own backups only`);
    }
    return onDisk(name, async () => {
      const entry = this.#parts.inventory.find(name);
      if (entry?.digest.equals(manifest.digest)) await this.#examining.confirm(entry);
      return this.#parts.turnOf(name)(() => this.#answer(owner, manifest));
    });
  }

  receive(owner: Hostname, manifestDigest: Uint8Array, range: Range): Promise<RangeReceiver> {
    return this.#call(async () => {
      this.#checkOpen();
      const upload = await this.#parts.uploads.find(manifestDigest);
      if (upload === null || upload.owner !== owner) {
        throw new Failure('not-found', 'no backup with this manifest was offered here', {
          hint: 'Offer it first: the answer says what is missing.',
          // One that was may have ended meanwhile: it was taken back, or expired, or the node was started anew.
          retryable: true,
        });
      }
      checkRange(range, upload.manifest.facts.size);
      const open = [...this.#open.values()].filter((other) => other === owner).length;
      if (open >= mostOfOneOwner) {
        throw new Failure('failed', `${owner} sends ${open} ranges already: wait for one of them`, { retryable: true });
      }
      const receiver = this.#receiver(upload, openRangeWriter(upload, range));
      this.#open.set(receiver, owner);
      try {
        await upload.enter();
      } catch (thrown) {
        this.#open.delete(receiver);
        throw diskFailure(thrown, upload.manifest.facts.name);
      }
      return receiver;
    });
  }

  /** Ends every range where it is: what has arrived of it stays. Nothing is written when it resolves. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    await Promise.all([...this.#open.keys()].map((receiver) => receiver.abort()));
  }

  #checkOpen(): void {
    if (this.#isStopping) throw new Failure('interrupted', 'the node is stopping');
  }

  #receiver(upload: Upload, writer: RangeWriter): RangeReceiver {
    const { name } = upload.manifest.facts;
    const { log, uploads } = this.#parts;
    let over = false;
    const checkOpen = (): void => {
      this.#checkOpen();
      if (over) throw new Failure('failed', `the range of ${name} has ended`);
    };
    const leave = (): Promise<void> => {
      this.#open.delete(receiver);
      return uploads.leave(upload);
    };
    const receiver: RangeReceiver = {
      write: (...chunks) =>
        this.#call(() => {
          checkOpen();
          return onDisk(name, () => writer.write(chunks));
        }),
      finish: () =>
        this.#call(() => {
          checkOpen();
          over = true;
          return onDisk(name, () => this.#finish(upload, writer).finally(leave));
        }),
      abort: async () => {
        if (over) return;
        over = true;
        const told = (what: string) => (thrown: unknown) => log.warn(what, { backup: name, reason: String(thrown) });
        await this.#call(async () => {
          await writer.flush().catch(told('range lost'));
          await leave().catch(told('upload lost'));
        });
      },
    };
    return receiver;
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    const call = work();
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  async #finish(upload: Upload, writer: RangeWriter): Promise<PushAnswer> {
    await writer.flush();
    if (!upload.complete) return { missing: upload.missing() };
    const { name } = upload.manifest.facts;
    return { held: await this.#parts.turnOf(name)(() => this.#commit(upload)) };
  }

  // What follows runs in the turn of the backup's name.

  async #answer(owner: Hostname, manifest: VerifiedManifest): Promise<PushAnswer> {
    const { inventory, keeping, layout, uploads } = this.#parts;
    const entry = inventory.find(manifest.facts.name);
    if (entry !== null && (await keeping.isIntact(entry))) {
      // Of two with one name that were arriving, the other was first.
      await uploads.forget(manifest.digest);
      return { held: await this.#receiptOf(entry, manifest) };
    }
    const locked = inventory.findings.lockOf(layout.backup(manifest.facts.name));
    if (locked !== null) throw notAllowed(locked);
    await keeping.checkFolder(owner);
    const upload = await uploads.take(manifest);
    if (!upload.complete) return { missing: upload.missing() };
    await upload.enter();
    try {
      return { held: await this.#commit(upload) };
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.kind !== 'damaged') throw thrown;
      // What had arrived before this offer was wrong, and is gone. That is no reason to refuse what comes now.
      return { missing: (await uploads.take(manifest)).missing() };
    } finally {
      await uploads.leave(upload);
    }
  }

  async #receiptOf(entry: HeldEntry, manifest: VerifiedManifest): Promise<SignedReceipt> {
    if (!entry.digest.equals(manifest.digest)) {
      throw new Failure('conflict', `${entry.name} is held already, with another content`, {
        hint: 'What is held is never overwritten. Make a new backup: it gets a new name.',
      });
    }
    const { acknowledge, clock, sidecars } = this.#parts;
    await sidecars.read(entry);
    return acknowledge(entry.digest, entry.receivedAt ?? clock.now());
  }

  /** Commits a complete upload, unless another connection has done so just now. */
  async #commit(upload: Upload): Promise<SignedReceipt> {
    const { inventory, uploads } = this.#parts;
    const held = inventory.find(upload.manifest.facts.name);
    if (held === null) return this.#keep(upload, await this.#finished(upload));
    await uploads.end(upload);
    return this.#receiptOf(held, upload.manifest);
  }

  async #finished(upload: Upload): Promise<Staged> {
    try {
      return await upload.finished();
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.kind === 'damaged') await this.#parts.uploads.end(upload, thrown);
      throw thrown;
    }
  }

  async #keep(upload: Upload, data: Staged): Promise<SignedReceipt> {
    const { acknowledge, clock, host, keeping, leaves, log, uploads } = this.#parts;
    const { manifest, owner } = upload;
    try {
      const receivedAt = clock.now();
      const signed = acknowledge(manifest.digest, receivedAt);
      await keeping.keep(manifest, owner === host ? null : { signed, receivedAt }, data);
      if (upload.leaves !== null) await leaves.adopt(manifest, upload.leaves);
      log.info('backup accepted', { owner, backup: manifest.facts.name, bytes: manifest.facts.size });
      return signed;
    } finally {
      await data.handle.close().catch(() => undefined);
      await uploads.end(upload);
    }
  }
}

/** It is said before a byte comes: what is sent again could not be put where this is. */
export function notAllowed(path: string): Failure {
  return new Failure('failed', `${path} is there, and the node could not read it when it started`, {
    hint: 'On the server that holds it, let the user of the node read it (status names what is wrong), and start it again.',
  });
}
