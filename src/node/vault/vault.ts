import { withOwnerHint } from '../../mesh/files/owner-hint.js';
import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Bytes, LentBytes } from '../../mesh/terms/bytes.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { diskFailure, onDisk } from './disk.js';
import { type Draft, openDraft } from './draft.js';
import { Examining, type Pace } from './examining.js';
import type { HeldEntry, Sidecar } from './held-entry.js';
import type { ListFilter } from './inventory.js';
import type { Layout } from './layout.js';
import { openParts, type Parts, type VaultOptions } from './parts.js';
import { Proving } from './proving.js';
import type { LostBackup } from './quarantine.js';
import { checkReadable, openReading, type ReadSpans, type Span } from './reading.js';
import { notAllowed, type PushAnswer, type RangeReceiver, Receiving } from './receiving.js';

/**
 * Where a node keeps backups: its own, and those of its peers. What is held is durable and was verified; nothing is ever
 * overwritten. One process at a time may have a data folder open.
 */
export class Vault {
  readonly layout: Layout;
  readonly #parts: Parts;
  readonly #receiving: Receiving;
  readonly #proving: Proving;
  readonly #examining: Examining;
  readonly #read: ReadSpans;

  constructor(parts: Parts) {
    this.layout = parts.layout;
    this.#parts = parts;
    this.#read = openReading(parts);
    this.#proving = new Proving(parts);
    this.#examining = new Examining(parts, this.#proving, this.#read);
    this.#receiving = new Receiving(parts, this.#examining);
  }

  /**
   * Takes an offer, before any byte of the backup is sent. One that is held already is acknowledged with the same receipt.
   * After a restart the first offer reads again what had arrived, about 1 s for each GiB.
   * @throws Failure `conflict` when the name is taken by another backup, `no-space`, `forbidden`
   */
  offer(owner: Hostname, manifest: VerifiedManifest): Promise<PushAnswer> {
    return this.#receiving.offer(owner, manifest);
  }

  /** Takes an offer back of which nothing has come: the space that was promised is free again. Of others nothing changes. */
  withdraw(manifest: VerifiedManifest): Promise<void> {
    return this.#parts.uploads.withdraw(manifest.digest);
  }

  /** @throws Failure `not-found` when the owner did not offer it, `invalid` when the range is none of its file */
  receive(owner: Hostname, manifestDigest: Uint8Array, range: Range): Promise<RangeReceiver> {
    return this.#receiving.receive(owner, manifestDigest, range);
  }

  /** Begins an own backup. */
  draft(): Promise<Draft> {
    return openDraft(this.#parts);
  }

  /** Newest first. */
  list(filter: ListFilter = {}): HeldEntry[] {
    return this.#parts.inventory.list(filter);
  }

  find(name: string): HeldEntry | null {
    return this.#parts.inventory.find(name);
  }

  /**
   * What the sidecar of a backup says, proven; with the receipt as this server gives it now.
   * @throws Failure `not-found`; `damaged`, and then the backup is in quarantine
   */
  async held(name: string): Promise<Sidecar> {
    return this.#proving.held(this.#entryOf(name));
  }

  /** Proves the manifest of a backup, unless that was done since the start. @throws Failure as {@link held} does */
  async proven(name: string): Promise<void> {
    await this.#proving.proven(this.#entryOf(name));
  }

  /**
   * The bytes of a range of a backup.
   * @throws Failure `not-found`, `invalid` at once; `damaged` from the stream, and then the backup is in quarantine
   */
  read(name: string, offset: number, length: number): LentBytes {
    return this.readSpans(name, [{ offset, length }]);
  }

  /** The same for several parts, in this order, with the file opened once. A part of up to 512 KiB comes in one piece. */
  readSpans(name: string, spans: readonly Span[]): LentBytes {
    const entry = this.#entryOf(name);
    for (const { offset, length } of spans) checkReadable(entry, offset, length);
    return this.#read(entry, spans);
  }

  /**
   * The hashes of a backup's leaves from one on, 32 bytes each; where they are missing, they come as the backup is read.
   * @throws Failure as {@link read} does
   */
  leaves(name: string, first = 0): Bytes {
    return this.#examining.leavesOf(this.#entryOf(name), first);
  }

  /**
   * Reads a whole backup again and compares it with its manifest.
   * @throws Failure `not-found`, `damaged`, and then it is in quarantine; another when nothing can be said about it
   */
  async examine(name: string, pace?: Pace): Promise<void> {
    await this.#examining.examine(this.#entryOf(name), pace);
  }

  /**
   * Proves the manifests that were only read at the start, and compares the sizes of files. What is damaged is in
   * quarantine afterwards.
   * @param owner whose backups; without it, everybody's
   * @throws Failure when nothing can be said about one
   */
  prove(owner?: Hostname): Promise<void> {
    return this.#proving.prove(this.list(owner === undefined ? {} : { owner }));
  }

  /** Why a backup of this name that may lie here is not held: the node cannot read it; null where nothing is in the way. */
  whyLocked(name: string): Failure | null {
    const path = this.#parts.inventory.findings.lockOf(this.layout.backup(name));
    return path === null ? null : notAllowed(path);
  }

  /** Whether there is anything that the node cannot read, so that nobody knows what of it would be held. */
  get hasLock(): boolean {
    return this.#parts.inventory.findings.hasLock;
  }

  /** File names of an owner's backups that were damaged here, and are not held again since. */
  damaged(owner: Hostname): string[] {
    return this.#parts.quarantine.damaged(owner);
  }

  /** The same, each with what is known of it. */
  lost(owner: Hostname): Promise<LostBackup[]> {
    return this.#parts.quarantine.lost(owner);
  }

  /** Whether the disk could not read a file of it the last time, so that it should be examined soon. */
  isDoubted(name: string): boolean {
    const { findings } = this.#parts.inventory;
    const { data, sidecar } = this.layout.backup(name);
    return this.find(name) !== null && [data, sidecar].some((path) => findings.isDoubted(path));
  }

  /** Removes a backup, for retention. @throws Failure `not-found` */
  remove(name: string): Promise<void> {
    return this.#change(name, () => this.#parts.keeping.remove(this.#entryOf(name)));
  }

  /** Bytes for which an owner's backups count against its quota: each for 16 KiB at least. */
  used(owner: Hostname): number {
    return this.#parts.inventory.used(owner);
  }

  /** Bytes free on the disk. */
  async free(): Promise<number> {
    const { bavail, bsize } = await this.#parts.disk.statfs(this.layout.data);
    return bavail * bsize;
  }

  /** What a person should look at on the disk: foreign files, damaged manifests, quarantine. One line each. */
  findings(): string[] {
    return this.#parts.inventory.findings.lines();
  }

  /** Removes uploads to which nothing was written for 7 days, and leaf hashes that belong to nothing. */
  async tidy(): Promise<void> {
    await this.#parts.uploads.tidy();
    if (this.hasLock) return;
    await this.#parts.leaves.tidy(() => this.list().map(({ digest }) => digest));
  }

  /**
   * Ends what is being examined and what arrives, waits for what is being changed, and writes down what the next start would
   * otherwise have to read. Nobody may ask for anything any more.
   */
  async close(): Promise<void> {
    await this.#examining.stop();
    await this.#receiving.stop();
    await this.#parts.settled();
    await this.#parts.knownFacts.close();
  }

  #entryOf(name: string): HeldEntry {
    const entry = this.find(name);
    if (entry === null) throw new Failure('not-found', `${JSON.stringify(name.slice(0, 120))} is not held here`);
    return entry;
  }

  /** Changes a backup when it is its turn. */
  #change(name: string, work: () => Promise<void>): Promise<void> {
    return this.#parts.turnOf(name)(() => onDisk(name, work));
  }
}

/** @throws Failure when the data folder cannot be read or its names cannot be made durable */
export async function openVault(options: VaultOptions): Promise<Vault> {
  try {
    return new Vault(await openParts(options));
  } catch (thrown) {
    throw await withOwnerHint(diskFailure(thrown, `the vault in ${options.data} cannot be opened`), options.data);
  }
}
