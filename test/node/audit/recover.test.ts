import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { HeldBackup } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import type { AuditedPeer } from '../../../src/node/audit/audited-peer.js';
import { recover } from '../../../src/node/audit/recover.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { silent } from '../../support/events.js';
import { manifestOf } from '../../support/manifests.js';
import { FR2, servers, type VaultFixture } from '../vault/fixture.js';
import { temporaryVault } from '../vault/temporary-vault.js';

const content = randomBytes(200_000);
const manifest = manifestOf(content, servers.FR1.signer);
const { name } = manifest.facts;
const never = new AbortController().signal;

let fixture: VaultFixture;
let vault: Vault;
beforeEach(async () => {
  fixture = await temporaryVault();
  vault = await fixture.open();
});
/** A peer that holds the backup whole, but for what a test changes of it. */
function peerThat(changes: Partial<AuditedPeer> = {}): AuditedPeer {
  const unasked = () => expect.fail('nobody should ask for this');
  const listed: HeldBackup = { manifest: manifest.signed, receipt: undefined };
  return {
    name: FR2,
    identity: servers.FR2.identity,
    standing: unasked,
    keptSince: unasked,
    leaves: unasked,
    prove: unasked,
    list: async () => [listed],
    fetch: (_, { offset, length }) => sending(content.subarray(offset, offset + length)),
    ...changes,
  };
}

async function* sending(...chunks: readonly Uint8Array[]) {
  yield* chunks;
}

const recoverFrom = (peers: readonly AuditedPeer[], signal = never) => {
  return recover(name, { vault, identity: servers.FR1.identity, log: silent, peers: () => peers }, signal);
};
const listing = (shown: VerifiedManifest) => async () => [{ manifest: shown.signed, receipt: undefined }];

describe('an own backup that was damaged here', () => {
  it.each<[string, Partial<AuditedPeer>]>([
    ['does not answer', { list: () => Promise.reject(new Failure('unreachable', 'FR2 does not answer')) }],
    ['does not hold it', { list: async () => [] }],
    ['shows one that another server signed', { list: listing(manifestOf(content, servers.FR2.signer)) }],
    ['sends other bytes', { fetch: () => sending(randomBytes(content.length)) }],
    ['sends too few', { fetch: () => sending(content.subarray(1)) }],
  ])('is not taken from a peer that %s, but from the next', async (_, changes) => {
    expect(await recoverFrom([peerThat(changes)])).toBe(false);
    expect(vault.find(name)).toBeNull();
    expect(await recoverFrom([peerThat(changes), peerThat()])).toBe(true);
    expect((await readFile(join(fixture.data, 'local', name))).equals(content)).toBe(true);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('fills no disk from a peer that sends without end', async () => {
    let sent = 0;
    async function* fetch() {
      for (; sent < 10 * content.length; sent += 100_000) yield randomBytes(100_000);
    }
    expect(await recoverFrom([peerThat({ fetch })])).toBe(false);
    expect(sent).toBe(content.length);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is asked of no other peer by a node that stops', async () => {
    const stopping = new AbortController();
    const list = async () => {
      stopping.abort();
      throw new Failure('interrupted', 'the call was given up');
    };
    const next = peerThat({ list: () => expect.fail('the node has stopped') });
    await expect(recoverFrom([peerThat({ list }), next], stopping.signal)).rejects.toMatchObject({
      name: 'AbortError',
    });
  });
});
