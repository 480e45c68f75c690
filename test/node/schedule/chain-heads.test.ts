import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { writeChainHead } from '../../../src/mesh/manifest/chain.js';
import { chainHeads } from '../../../src/node/schedule/chain-heads.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { manifestOf } from '../../support/manifests.js';
import { recoverableServer } from '../../support/restorable.js';
import { VaultFixture } from '../vault/fixture.js';

const { keys, server } = recoverableServer('FR1');
const content = Buffer.from('content');
const seen = manifestOf(content, server.signer, { sequence: 7, previous: Buffer.alloc(32, 1) });

let fixture: VaultFixture;
let vault: Vault;
beforeEach(async () => {
  fixture = await VaultFixture.make();
  vault = await fixture.open();
});
afterEach(async () => {
  await vault.close();
  await fixture.remove();
});

describe('the backup after the newest one', () => {
  it('has the next number', async () => {
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    expect(await chainHeads(vault, server).chainHead('backup')).toMatchObject({ sequence: 7, next: 8 });
  });

  it('of a rebuilt server leaves out numbers that a peer may hold which was away then', async () => {
    const rebuilt = makeServerIdentity(keys, 'FR1', server.certificate.epoch + 1);
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    expect(await chainHeads(vault, rebuilt).chainHead('backup')).toMatchObject({ sequence: 7, next: 1008 });
    const first = manifestOf(content, rebuilt.signer, { sequence: 1008, previous: seen.digest });
    await writeChainHead(vault.layout.state, 'backup', first.signed);
    expect(await chainHeads(vault, rebuilt).chainHead('backup')).toMatchObject({ sequence: 1008, next: 1009 });
  });

  it('is the first one where nothing was made', async () => {
    expect(await chainHeads(vault, server).chainHead('backup')).toBeNull();
  });
});
