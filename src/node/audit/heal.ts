import { blocks } from '../../mesh/envelope/blocks.js';
import type { SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { leafHash, leafSize } from '../../mesh/manifest/digest-tree.js';
import { type LeafHashes, takeLeafHashes } from '../../mesh/manifest/leaf-hashes.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import type { Peer } from '../../mesh/peers/peer.js';
import { parseBackupName } from '../../mesh/terms/backup-name.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import type { Vault } from '../vault/vault.js';
import type { AuditedPeer } from './audited-peer.js';

/** A server whose backups are kept here. */
export type Owner = Pick<Peer, 'name' | 'identity'>;

export interface HealParts {
  readonly vault: Pick<Vault, 'layout' | 'lost' | 'offer' | 'withdraw' | 'receive'>;
  readonly host: Hostname;
  readonly clock: Clock;
  readonly log: Log;
  /** Whose backups are kept here: this server, and all that were ever its peers, also those that are called no more. */
  owners(): readonly Owner[];
  peers(): readonly AuditedPeer[];
}

/** Milliseconds that an owner has to send again what was damaged here: it learns of it at its next call, and has a night. */
const ownersTurn = 36 * 3_600_000;

/**
 * Takes again what was damaged here, from a peer that holds the very same backup: own ones, and those of owners that did not send
 * them themselves, because they are gone. The manifest that lies beside the damaged copy, or that of an own one which a peer
 * shows, says which one; its digest is what the peer lets it be read for. What comes is taken like a push of the owner, into its
 * quota, once each leaf is proven to be what the owner signed.
 * Yields the file name of each that is held again.
 */
export async function* heal(parts: HealParts, signal: AbortSignal): AsyncGenerator<string> {
  const { vault, host, clock, log } = parts;
  for (const owner of parts.owners()) {
    for (const { name, since, manifests } of await vault.lost(owner.name)) {
      signal.throwIfAborted();
      const isOwn = owner.name === host;
      const age = clock.now() - since;
      // A time that is yet to come is of a clock that was ahead, and counts as long ago.
      if (!isOwn && age >= 0 && age < ownersTurn) continue;
      const manifest =
        signedBy(owner, name, manifests) ?? (isOwn ? await shownByPeers(owner, name, parts, signal) : null);
      // Its owner, or a person, has to bring the backup back.
      if (manifest === null) {
        if (isOwn) log.warn('own backup not healed', { backup: name });
        continue;
      }
      try {
        if (await healOne(owner, manifest, parts, signal)) yield name;
        else if (isOwn) log.warn('own backup not healed', { backup: name });
      } finally {
        // What nobody has would take the owner's room from what it makes now, every night again.
        await vault.withdraw(manifest);
      }
    }
  }
}

/** The manifest of a backup among others; null where its owner signed none of them. */
function signedBy(owner: Owner, name: string, manifests: readonly SignedManifest[]): VerifiedManifest | null {
  for (const signed of manifests) {
    try {
      const manifest = verifyManifest(signed, owner.identity);
      if (manifest.facts.name === name) return manifest;
    } catch {
      // Another copy, or another peer, may have the right one.
    }
  }
  return null;
}

/** The manifest of an own backup, from the first peer that shows it. */
async function shownByPeers(
  owner: Owner,
  name: string,
  { peers, log }: HealParts,
  signal: AbortSignal,
): Promise<VerifiedManifest | null> {
  const filter = { owner: owner.name, set: parseBackupName(name).set };
  for (const peer of peers()) {
    try {
      const listed = await peer.list(filter, signal);
      const manifest = signedBy(
        owner,
        name,
        listed.flatMap((held) => held.manifest ?? []),
      );
      if (manifest !== null) return manifest;
    } catch (thrown) {
      signal.throwIfAborted();
      const { kind, message } = Failure.from(thrown);
      log.info('manifest not shown', { backup: name, peer: peer.name, kind, reason: message });
    }
  }
  return null;
}

async function healOne(
  owner: Owner,
  manifest: VerifiedManifest,
  parts: HealParts,
  signal: AbortSignal,
): Promise<boolean> {
  const { name } = manifest.facts;
  for (const peer of parts.peers()) {
    if (peer.name === owner.name) continue;
    try {
      await takeFrom(peer, owner, manifest, parts, signal);
      parts.log.info('backup healed', { owner: owner.name, backup: name, peer: peer.name });
      return true;
    } catch (thrown) {
      signal.throwIfAborted();
      const isNotSent = thrown instanceof NotSent;
      const { kind, message } = Failure.from(isNotSent ? thrown.cause : thrown);
      // What had arrived before, and was wrong, is gone: the next peer sends all of it. Too much came from this peer only.
      const isOurs = !isNotSent && kind !== 'damaged' && kind !== 'invalid';
      const where = isOurs ? {} : { peer: peer.name };
      parts.log.info('backup not healed', { owner: owner.name, backup: name, ...where, kind, reason: message });
      // This server would take the backup from no other peer either.
      if (isOurs) return false;
    }
  }
  return false;
}

/** What a peer threw instead of sending, as its cause: another one may send it. */
class NotSent extends Error {}

async function* sentBy(peer: Bytes): AsyncGenerator<Uint8Array> {
  try {
    yield* peer;
  } catch (cause) {
    throw new NotSent('', { cause });
  }
}

async function takeFrom(
  peer: AuditedPeer,
  owner: Owner,
  manifest: VerifiedManifest,
  { vault }: HealParts,
  signal: AbortSignal,
): Promise<void> {
  const offer = await vault.offer(owner.name, manifest);
  if ('held' in offer) return;
  // What a peer sent stays here when it breaks off, and the next one, or the owner, only sends the rest: so nothing of it may
  // be wrong.
  const sent = sentBy(peer.leaves(manifest, signal));
  const hashes = await takeLeafHashes(manifest, sent, peer.name, vault.layout.incoming);
  try {
    let held = false;
    for (const range of offer.missing) {
      const receiver = await vault.receive(owner.name, manifest.digest, range);
      try {
        const leaves = provenLeaves(sentBy(peer.fetch(manifest, range, signal)), range.offset / leafSize, hashes);
        for await (const leaf of leaves) await receiver.write(leaf);
        held = 'held' in (await receiver.finish());
      } catch (thrown) {
        await receiver.abort();
        throw thrown;
      }
    }
    if (!held) throw new Failure('damaged', `${peer.name} did not send all of it`);
  } finally {
    await hashes.close();
  }
}

/** Cuts bytes into leaves, and compares each with its hash. @param first index of the leaf with which they begin */
async function* provenLeaves(sent: Bytes, first: number, hashes: LeafHashes): AsyncGenerator<Uint8Array> {
  let leaf = first;
  for await (const { bytes } of blocks(sent, leafSize)) {
    if (bytes.length === 0) return;
    if (!leafHash(bytes).equals(await hashes.read(leaf, 1))) {
      throw new Failure('damaged', `the bytes that came for leaf ${leaf} are not those that its owner signed`);
    }
    yield bytes;
    leaf += 1;
  }
}
