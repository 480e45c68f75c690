import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { writeChainHead } from '../../../src/mesh/manifest/chain.js';
import type { Log } from '../../../src/mesh/terms/log.js';
import { openChainHeads } from '../../../src/node/run/chain-heads.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { silent, watchEvents } from '../../support/events.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { recoverableServer } from '../../support/restorable.js';
import { temporaryVault } from '../vault/temporary-vault.js';

const { keys, server } = recoverableServer('FR1');
const content = Buffer.from('content');
const seen = manifestOf(content, server.signer, { sequence: 7, previous: Buffer.alloc(32, 1) });

let vault: Vault;
beforeEach(async () => {
  vault = await (await temporaryVault()).open();
});
afterEach(() => vault.close());

const heads = (self = server, log: Log = silent) => openChainHeads(vault, self, log);
/** A backup of a number, as a peer shows it. */
const shown = (sequence: number, { signer = server.signer, peer = 'FR2', set = 'backup' } = {}) => {
  const previous = Buffer.alloc(sequence > 1 ? 32 : 0, 1);
  return { peer, manifest: manifestOf(content, signer, { set, sequence, previous }).signed };
};

describe('the backup after the newest one', () => {
  it('has the next number', async () => {
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    expect(await heads().newest('backup')).toMatchObject({ sequence: 7, next: 8 });
  });

  it('of a rebuilt server leaves out numbers that a peer may hold which was away then', async () => {
    const rebuilt = makeServerIdentity(keys, 'FR1', server.certificate.epoch + 1);
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    expect(await heads(rebuilt).newest('backup')).toMatchObject({ sequence: 7, next: 1008 });
    const first = manifestOf(content, rebuilt.signer, { sequence: 1008, previous: seen.digest });
    await writeChainHead(vault.layout.state, 'backup', first.signed);
    expect(await heads(rebuilt).newest('backup')).toMatchObject({ sequence: 1008, next: 1009 });
  });

  it('is the first one where nothing was made', async () => {
    expect(await heads().newest('backup')).toBeNull();
  });
});

describe('a set of which a peer shows a newer backup', () => {
  it('goes on from it, and a person is told once that this server signed what it does not know of', async () => {
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    const told = await heads().goOnFrom([shown(9), shown(12, { peer: 'US1' }), shown(8)]);
    expect(told).toEqual([
      {
        kind: 'conflict',
        message: expect.stringMatching(
          /^US1 holds anemone-.*, number 12 of set backup, .* knew of none after number 7$/,
        ),
        hint: expect.stringMatching(
          /the data folder of this server was put back .* a copy of this machine .* its node key/,
        ),
      },
    ]);
    expect(await heads().newest('backup')).toMatchObject({ sequence: 12, next: 13, held: false });
    expect(await heads().goOnFrom([shown(12), shown(9)])).toEqual([]);
  });

  it('goes on from it also where this server knows of none; what is so with several sets is told once', async () => {
    expect(await heads().goOnFrom([shown(3), shown(5, { set: 'mail' })])).toMatchObject([
      {
        message: expect.stringMatching(/number 5 of set mail, .* knew of none; .* number 3 of set backup, .* of none$/),
      },
    ]);
    expect(await heads().newest('backup')).toMatchObject({ sequence: 3, next: 4 });
    expect(await heads().newest('mail')).toMatchObject({ sequence: 5, next: 6 });
  });

  it('goes on with nothing to tell where the former node key of a rebuilt server signed it', async () => {
    const rebuilt = makeServerIdentity(keys, 'FR1', server.certificate.epoch + 1);
    expect(await heads(rebuilt).goOnFrom([shown(40)])).toEqual([]);
    expect(await heads(rebuilt).newest('backup')).toMatchObject({ sequence: 40, next: 1041 });
  });

  it('goes on also from the highest number that a thief of the former key could sign: this one has higher ones', async () => {
    const rebuilt = makeServerIdentity(keys, 'FR1', server.certificate.epoch + 1);
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    const highest = server.certificate.epoch * 1024;
    expect(await heads(rebuilt).goOnFrom([shown(highest)])).toEqual([]);
    expect(await heads(rebuilt).newest('backup')).toMatchObject({ sequence: highest, next: highest + 1001 });
    expect(highest + 1001).toBeLessThan(rebuilt.certificate.epoch * 1024);
  });

  it('is told of in the log too, for the report may never come; one line is enough for all lies of a peer', async () => {
    const events = watchEvents();
    const nonsense = { peer: 'US1', manifest: { ...shown(9).manifest, signature: Buffer.alloc(64) } };
    await heads(server, events).goOnFrom([shown(9), nonsense, nonsense, nonsense]);
    expect(events.all.map(({ event, fields }) => [event, fields['reason']])).toEqual([
      ['shown backup not believed', expect.stringContaining('signature')],
      ['backup not known here', expect.stringContaining('number 9 of set backup')],
      ['sequence goes on from a peer', undefined],
    ]);
  });

  it('stays as it is where a newer node key, or another identity, signed it, or the peer says nonsense', async () => {
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    const newer = makeServerIdentity(keys, 'FR1', server.certificate.epoch + 1);
    const nonsense = { peer: 'FR2', manifest: { ...shown(9).manifest, signature: Buffer.alloc(64) } };
    const others = [shown(9, { signer: newer.signer }), shown(9, { signer: throwawayServer('FR2').signer }), nonsense];
    expect(await heads().goOnFrom(others)).toEqual([]);
    expect(await heads().newest('backup')).toMatchObject({ sequence: 7, next: 8 });
  });

  it('is not led to its highest number by whoever stole the node key: a person is told each time', async () => {
    await writeChainHead(vault.layout.state, 'backup', seen.signed);
    const highest = shown(server.certificate.epoch * 1024);
    for (const _ of ['one night', 'another'])
      expect(await heads().goOnFrom([highest, { ...highest, peer: 'US1' }])).toMatchObject([
        { kind: 'conflict', hint: expect.stringContaining('somebody else has its node key') },
      ]);
    expect(await heads().newest('backup')).toMatchObject({ sequence: 7, next: 8 });
  });
});
