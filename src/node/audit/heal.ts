import { readdir } from 'node:fs/promises';
import { blocks } from '../../mesh/envelope/blocks.js';
import { leafHash, leafSize } from '../../mesh/manifest/digest-tree.js';
import { type LeafHashes, takeLeafHashes } from '../../mesh/manifest/leaf-hashes.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import type { Holder } from '../outbox/receipts.js';
import { hasCode, readSmall, realDisk } from '../vault/disk.js';
import { decodeSidecar, longestSidecar } from '../vault/held-entry.js';
import { sidecarOf } from '../vault/layout.js';
import type { Vault } from '../vault/vault.js';
import type { AuditedPeer } from './audited-peer.js';

export interface HealParts {
  readonly vault: Pick<Vault, 'layout' | 'damaged' | 'offer' | 'withdraw' | 'receive'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Whose backups are kept here, also those that are not called any more because they are gone. */
  owners(): readonly Holder[];
  peers(): readonly AuditedPeer[];
}

/** Milliseconds that an owner has to send again what was damaged here: it learns of it at its next call, and has a night. */
const ownersTurn = 36 * 3_600_000;

/**
 * Takes again what was damaged here of owners that did not send it themselves, because they are gone: from another peer
 * that holds the very same backup. The manifest that lies in quarantine says which one; its digest is what the other
 * peer lets it be read for. What comes is taken like a push of the owner, into its quota, once each leaf is proven to be what
 * the owner signed.
 * @returns the file names of what is held again
 */
export async function heal(parts: HealParts, signal: AbortSignal): Promise<string[]> {
  const healed: string[] = [];
  for (const owner of parts.owners()) {
    for (const name of parts.vault.damaged(owner.name)) {
      signal.throwIfAborted();
      const manifest = await lostManifest(name, owner, parts);
      if (manifest === null) continue;
      try {
        if (await healOne(owner, manifest, parts, signal)) healed.push(name);
      } finally {
        // What nobody has would take the owner's room from what it makes now, every night again.
        await parts.vault.withdraw(manifest);
      }
    }
  }
  return healed;
}

/** The manifest of a backup that has been in quarantine for long enough; null where it is damaged itself. */
async function lostManifest(
  name: string,
  owner: Holder,
  { vault: { layout }, clock }: HealParts,
): Promise<VerifiedManifest | null> {
  // A person may have removed the folder, to be rid of what was in it.
  const files = await readdir(layout.quarantine).catch((thrown) => {
    if (hasCode(thrown, 'ENOENT')) return [];
    throw thrown;
  });
  for (const file of files) {
    const [, time = '', of] = /^(\d+)-(.+)$/.exec(file) ?? [];
    const age = clock.now() - Number(time);
    // A time that is yet to come is of a clock that was ahead, and counts as long ago.
    if (of !== sidecarOf(name) || (age >= 0 && age < ownersTurn)) continue;
    try {
      const bytes = await readSmall(realDisk, layout.quarantined(file), longestSidecar);
      const verified = verifyManifest(decodeSidecar(bytes ?? new Uint8Array()).manifest, owner.identity);
      if (verified.facts.name === name) return verified;
    } catch {
      // Its owner, or a person, has to bring the backup back.
    }
  }
  return null;
}

async function healOne(
  owner: Holder,
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
      const { kind, message } = Failure.from(thrown);
      parts.log.info('backup not healed', { owner: owner.name, backup: name, peer: peer.name, kind, reason: message });
    }
  }
  return false;
}

async function takeFrom(
  peer: AuditedPeer,
  owner: Holder,
  manifest: VerifiedManifest,
  { vault }: HealParts,
  signal: AbortSignal,
): Promise<void> {
  const offer = await vault.offer(owner.name, manifest);
  if ('held' in offer) return;
  // What a peer sent stays here when it breaks off, and the next one, or the owner, only sends the rest: so nothing of it may
  // be wrong.
  const hashes = await takeLeafHashes(manifest, peer.leaves(manifest, signal), peer.name, vault.layout.incoming);
  try {
    let held = false;
    for (const range of offer.missing) {
      const receiver = await vault.receive(owner.name, manifest.digest, range);
      try {
        const leaves = provenLeaves(peer.fetch(manifest, range, signal), range.offset / leafSize, hashes);
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
