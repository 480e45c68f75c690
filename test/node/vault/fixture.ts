import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Manifest } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../../../src/mesh/identity/identity.js';
import { leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../../src/mesh/terms/hostname.js';
import type { VaultOptions } from '../../../src/node/vault/parts.js';
import type { PushAnswer, RangeReceiver } from '../../../src/node/vault/receiving.js';
import { openVault, type Vault } from '../../../src/node/vault/vault.js';
import { silent } from '../../support/events.js';
import { FakeClock } from '../../support/fake-clock.js';
import { flipBit } from '../../support/flip-bit.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';

export const FR1 = parseHostname('FR1');
export const FR2 = parseHostname('FR2');
export const US1 = parseHostname('US1');

/** The vault's own server, a peer, and another peer. */
export const servers = { FR1: throwawayServer('FR1'), FR2: throwawayServer('FR2'), US1: throwawayServer('US1') };

/** A folder in memory where that is possible: these tests sync files by the thousand, and none of them pulls the plug. */
export function fastFolder(): Promise<string> {
  return mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'anemone-vault-'));
}

const firstNight = Date.UTC(2026, 10, 23, 1, 0, 0);

export function identityOf(host: Hostname): Identity | null {
  return servers[host as keyof typeof servers]?.identity ?? null;
}

/** A manifest of FR2's nth backup. */
export function backupOfFR2(content: Uint8Array, nth = 0, changes: Partial<Manifest> = {}): VerifiedManifest {
  return manifestOf(content, servers.FR2.signer, { owner: 'FR2', createdAtMs: firstNight + nth * 1000, ...changes });
}

/** FR1's vault in a folder of its own, and what a test wants to do with it. */
export class VaultFixture {
  readonly clock = new FakeClock('2026-11-23T02:00:00Z');
  readonly data: string;

  private constructor(data: string) {
    this.data = data;
  }

  static async make(): Promise<VaultFixture> {
    return new VaultFixture(await fastFolder());
  }

  open(changes: Partial<VaultOptions> = {}): Promise<Vault> {
    return openVault({
      data: this.data,
      host: FR1,
      clock: this.clock,
      log: silent,
      identityOf,
      acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, servers.FR1.signer),
      quotaOf: () => 0,
      minimumFree: () => 0,
      ...changes,
    });
  }

  /** File names in a folder of the vault; none when it is not there. */
  async files(...folder: string[]): Promise<string[]> {
    return (await readdir(join(this.data, ...folder)).catch(() => [])).sort();
  }

  async remove(): Promise<void> {
    await rm(this.data, { recursive: true, force: true });
  }
}

/** Offers a backup of FR2 and sends all that is missing. */
export async function push(vault: Vault, manifest: VerifiedManifest, content: Uint8Array) {
  const offer = await vault.offer(FR2, manifest);
  if ('held' in offer) return offer.held;
  for (let missing = offer.missing; ; ) {
    const [range] = missing;
    if (range === undefined) throw new Error('nothing is missing, and nothing is acknowledged');
    const answer = await send(vault, manifest, content, range);
    if ('held' in answer) return answer.held;
    missing = answer.missing;
  }
}

/** The same, the first leaf by itself: then the upload is written down for a later process to go on with. */
export async function pushInParts(vault: Vault, manifest: VerifiedManifest, content: Uint8Array) {
  const offer = await vault.offer(FR2, manifest);
  if ('held' in offer) return offer.held;
  await send(vault, manifest, content, { offset: 0, length: leafSize });
  return push(vault, manifest, content);
}

export async function send(
  vault: Vault,
  manifest: VerifiedManifest,
  content: Uint8Array,
  range: { readonly offset: number; readonly length: number },
  chunkSize = 100_000,
): Promise<PushAnswer> {
  const receiver = await vault.receive(FR2, manifest.digest, range);
  try {
    await writeAll(receiver, content.subarray(range.offset, range.offset + range.length), chunkSize);
    return await receiver.finish();
  } catch (thrown) {
    await receiver.abort();
    throw thrown;
  }
}

export async function writeAll(receiver: RangeReceiver, bytes: Uint8Array, chunkSize: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += chunkSize) await receiver.write(bytes.subarray(at, at + chunkSize));
}

/** Damages a backup and has the vault read it again, which puts it into quarantine. */
export async function damage(vault: Vault, name: string): Promise<void> {
  await flipBit(vault.layout.backup(name).data, 0);
  const found = await vault.examine(name).catch((thrown: unknown) => thrown);
  if (!(found instanceof Failure) || found.kind !== 'damaged') throw found ?? new Error('no damage was found');
}

export async function readAll(vault: Vault, manifest: VerifiedManifest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of vault.read(manifest.facts.name, 0, manifest.facts.size)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
