import type { Identity } from '../../mesh/identity/identity.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import { parseBackupName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import type { Vault } from '../vault/vault.js';
import type { AuditedPeer } from './audited-peer.js';

export interface RecoverParts {
  readonly vault: Pick<Vault, 'draft'>;
  /** This server's own. */
  readonly identity: Identity;
  readonly log: Log;
  peers(): readonly AuditedPeer[];
}

/** Fetches an own backup that was damaged here from the first peer that has it whole. @returns whether one had */
export async function recover(name: string, parts: RecoverParts, signal: AbortSignal): Promise<boolean> {
  for (const peer of parts.peers()) {
    try {
      const manifest = await manifestAt(peer, name, parts.identity, signal);
      if (manifest === null) continue;
      await fetchFrom(peer, manifest, parts, signal);
      parts.log.info('own backup recovered', { peer: peer.name, backup: name });
      return true;
    } catch (thrown) {
      signal.throwIfAborted();
      const { kind, message } = Failure.from(thrown);
      parts.log.warn('own backup not recovered', { peer: peer.name, backup: name, kind, reason: message });
    }
  }
  return false;
}

async function manifestAt(
  peer: AuditedPeer,
  name: string,
  identity: Identity,
  signal: AbortSignal,
): Promise<VerifiedManifest | null> {
  const { owner, set } = parseBackupName(name);
  for (const { manifest } of await peer.list({ owner, set }, signal)) {
    if (manifest === undefined) continue;
    const verified = verifyManifest(manifest, identity);
    if (verified.facts.name === name) return verified;
  }
  return null;
}

async function fetchFrom(
  peer: AuditedPeer,
  manifest: VerifiedManifest,
  { vault }: RecoverParts,
  signal: AbortSignal,
): Promise<void> {
  const { name, size } = manifest.facts;
  const draft = await vault.draft();
  try {
    let length = 0;
    for await (const chunk of peer.fetch(manifest, { offset: 0, length: size }, signal)) {
      length += chunk.length;
      if (length > size) throw new Failure('damaged', `${peer.name} sent more bytes of ${name} than it has`);
      await draft.write(chunk);
    }
    await draft.commit(manifest.signed);
  } finally {
    await draft.discard();
  }
}
