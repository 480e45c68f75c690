import { createHash } from 'node:crypto';
import type { Manifest } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../../src/mesh/identity/identity.js';
import { deriveKeys } from '../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { FileDigest } from '../../src/mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { type Hostname, parseHostname } from '../../src/mesh/terms/hostname.js';
import type { VaultOptions } from '../../src/node/vault/parts.js';
import { openVault, type Vault } from '../../src/node/vault/vault.js';
import { silent } from '../support/events.js';
import { manifestOf } from '../support/manifests.js';
import { bytesOf } from './random.js';

export const FR1 = parseHostname('FR1');
export const FR2 = parseHostname('FR2');

const known = new Map<string, ServerIdentity>();

/** A server whose identity is the same in every process, so that one may write what another checks. */
export function serverOf(name: string): ServerIdentity {
  const made =
    known.get(name) ??
    makeServerIdentity(deriveKeys({ secret: createHash('sha256').update(`faults ${name}`).digest() }), name, 1e12);
  known.set(name, made);
  return made;
}

export function identityOf(host: Hostname): Identity {
  return serverOf(host).identity;
}

/** The vault of FR1, which keeps backups of any server. */
export function vaultOfFR1(data: string, changes: Partial<VaultOptions> = {}): Promise<Vault> {
  return openVault({
    data,
    host: FR1,
    clock: systemClock,
    log: silent,
    identityOf,
    acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, serverOf('FR1').signer),
    quotaOf: () => 0,
    minimumFree: () => 0,
    ...changes,
  });
}

export interface Sample {
  readonly content: Buffer;
  readonly manifest: VerifiedManifest;
}

/** The nth backup of a server; the same number gives the same bytes and name. */
export function sampleOf(owner: string, nth: number, size: number, changes: Partial<Manifest> = {}): Sample {
  const content = bytesOf(`${owner} ${nth}`, size);
  const createdAtMs = Date.UTC(2026, 0, 1) + nth * 1000;
  return { content, manifest: manifestOf(content, serverOf(owner).signer, { owner, createdAtMs, ...changes }) };
}

/** Whether a vault gives the bytes that the manifest of a backup promises, checked as a client does. */
export async function isIntact(vault: Vault, name: string, facts: Pick<Manifest, 'size' | 'sha256'>): Promise<boolean> {
  const digest = new FileDigest();
  try {
    for await (const chunk of vault.read(name, 0, facts.size)) digest.update(chunk);
  } catch {
    return false;
  }
  return digest.finish().sha256.equals(facts.sha256);
}
