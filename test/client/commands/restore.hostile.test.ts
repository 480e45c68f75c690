import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadServerIdentity, makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import { signManifest } from '../../../src/mesh/manifest/manifest.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { type BareMachine, entryOf, makeBareMachine, pinned, treeOf } from '../../support/bare-machine.js';
import { garbage, type Lies } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { factsAbout, hashesOf } from '../../support/manifests.js';
import type { PeerNode } from '../../support/peer-node.js';
import { pushTo, type Restorable, recoverableServer, sealTree } from '../../support/restorable.js';

let machine: BareMachine;
let folder: string;
let fr1: BareMachine['fr1'];
let fr2: PeerNode;
let us1: PeerNode;
let older: Restorable;
let newer: Restorable;
beforeEach(async () => {
  machine = await makeBareMachine();
  ({ folder, fr1, fr2, us1, older, newer } = machine);
});

const bare: BareMachine['restore'] = (...call) => machine.restore(...call);
const left = () => machine.left();

describe('hostile peers', () => {
  const honestBytes = (name: string): Buffer => (name === newer.manifest.facts.name ? newer.bytes : older.bytes);

  it.each<[string, (name: string, offset: number) => Iterable<Uint8Array>]>([
    ['other bytes of the right length', (name, offset) => [garbage(honestBytes(name).length - offset)]],
    ['the bytes of another backup', (_name, offset) => [older.bytes.subarray(offset)]],
    ['half of it, as if it were all', (name) => [honestBytes(name).subarray(0, 100)]],
    ['nothing', () => []],
    [
      'half of it, and then breaks',
      function* (name) {
        yield honestBytes(name).subarray(0, 100);
        throw new Error('gone');
      },
    ],
  ])('one that sends %s is named, and another one gives the backup', async (_what, fetch) => {
    await pushTo(us1, fr1, newer);
    const liar = await machine.addLiar((server) => ({ list: () => [entryOf(newer, server)], fetch }));
    const { code, said } = await bare({ peer: [liar, pinned(us1)], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toContain('DE1');
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret new');
    expect(await left()).toEqual(['config']);
  });

  it('one that sends more than there is brings nothing more', async () => {
    const liar = await machine.addLiar((server) => ({
      list: () => [entryOf(newer, server)],
      fetch: (name) => [honestBytes(name), garbage(10)],
      leaves: () => [hashesOf(newer.bytes)],
    }));
    expect((await bare({ peer: [liar], takeover: false })).code).toBe(0);
    expect(await left()).toEqual(['config']);
  });

  it.each<[string, (bytes: Buffer) => Pick<Lies, 'fetch' | 'leaves'>]>([
    ['of other leaves', () => ({ leaves: () => [garbage(320)], fetch: () => [] })],
    ['without an end', () => ({ leaves: () => Array(500).fill(garbage(2 ** 20)), fetch: () => [] })],
    [
      'that are right, and other bytes',
      (bytes) => ({
        leaves: () => [hashesOf(bytes)],
        fetch: (_name, _offset, length) => [garbage(Math.min(length, leafSize))],
      }),
    ],
  ])('one that sends hashes %s is named, and two others give the backup together', async (_what, lies) => {
    const body = garbage(5 * 2 ** 20);
    const large = await sealTree(fr1, [{ name: 'large', body }], { set: 'media' });
    await pushTo(fr2, fr1, large);
    await pushTo(us1, fr1, large);
    const liar = await machine.addLiar((server) => ({ list: () => [entryOf(large, server)], ...lies(large.bytes) }));
    const { code, said } = await bare({ peer: [liar, pinned(fr2), pinned(us1)], set: 'media', takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toMatch(/DE1 \(127.0.0.1:\d+\) sent/);
    expect((await readFile(join(folder, 'large'))).equals(body)).toBe(true);
    expect(await left()).toEqual(['large']);
  });

  it('one that never answers is named after seconds, and another one gives the backup', async () => {
    await pushTo(us1, fr1, newer);
    const mute = await machine.addLiar((server) => ({
      list: () => [entryOf(newer, server)],
      fetch: () => [],
      leaves: () => null,
    }));
    const before = performance.now();
    const { code, said } = await bare({ peer: [mute, pinned(us1)], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toMatch(/DE1 .* does not answer about/);
    expect(performance.now() - before).toBeLessThan(20_000);
    expect(await left()).toEqual(['config']);
  });

  it.each([
    ['sends right hashes and other bytes', (bytes: Buffer) => hashesOf(bytes), 'damaged'],
    ['sends other hashes', () => garbage(32), 'damaged'],
    ['gives no hashes to check its bytes with', null, 'unreachable'],
  ])('one that is alone and %s is named, and cannot bring anything onto the disk', async (_what, hashes, kind) => {
    const liar = await machine.addLiar((server) => ({
      list: () => [entryOf(newer, server)],
      fetch: () => [garbage(newer.bytes.length)],
      ...(hashes !== null && { leaves: () => [hashes(newer.bytes)] }),
    }));
    await expect(bare({ peer: [liar] })).rejects.toMatchObject({ kind, message: expect.stringContaining('DE1') });
    expect(await left()).toEqual([]);
  });

  it('one that forges a newer backup is named, and `latest` is the true one', async () => {
    await pushTo(us1, fr1, newer);
    const forger = throwawayServer('FR1');
    const forged = signManifest(
      factsAbout(Buffer.from('evil'), forger.signer, {
        sequence: 9,
        previous: Buffer.alloc(32),
        createdAtMs: Date.UTC(2026, 10, 30),
      }),
      forger.signer,
    );
    const liar = await machine.addLiar(() => ({
      list: () => [{ manifest: forged, receipt: undefined }],
      fetch: () => [Buffer.from('evil')],
    }));
    const { said } = await bare({ peer: [liar, pinned(us1)], takeover: false });
    expect(said.stderr).toMatch(/DE1 .* not to be believed/);
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret new');
  });

  it('one that rolls back is named, and does not hide the newer one', async () => {
    await pushTo(us1, fr1, older);
    await pushTo(us1, fr1, newer);
    const liar = await machine.addLiar((server) => ({ list: () => [entryOf(older, server)], fetch: honestFetch }));
    const { said } = await bare({ peer: [liar, pinned(us1)], takeover: false });
    expect(said.stderr).toMatch(/DE1 .* shows an older end/);
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret new');
  });

  it('one that shows the backup of another owner under our name is not believed', async () => {
    const other = recoverableServer('FR1');
    const theirs = await sealTree(other, treeOf('theirs', fr2, us1), { createdAtMs: Date.UTC(2026, 10, 29) });
    const liar = await machine.addLiar((server) => ({
      list: () => [entryOf(theirs, server)],
      fetch: () => [theirs.bytes],
    }));
    await expect(bare({ peer: [liar] })).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('one that takes the name of the server for a terminal escape is called by its address', async () => {
    const liar = await machine.addLiar(() => ({ hostname: '\u001b[2Jevil', list: () => [], fetch: () => [] }));
    const failure = await bare({ peer: [liar] }).catch((thrown) => thrown);
    expect(failure.message).not.toContain('\u001b');
  });

  describe('one that nobody knows by name', () => {
    const withoutReceipt = (hostname: string) => () => ({
      hostname,
      list: () => [{ manifest: newer.manifest.signed, receipt: undefined }],
      fetch: (_name: string, offset: number) => [newer.bytes.subarray(offset)],
      leaves: () => [hashesOf(newer.bytes)],
    });

    it('and says that it is the server itself is called by its address, and has to show a receipt', async () => {
      const liar = await machine.addLiar(withoutReceipt('FR1'));
      const { said } = await bare({ peer: [liar], takeover: false });
      expect(said.stderr).toMatch(/peer \(127\.0\.0\.1:\d+\) does not prove that it holds .* \(it shows no receipt\)/);
    });

    it('and says that it is another one is called by its address', async () => {
      await pushTo(us1, fr1, newer);
      const liar = await machine.addLiar(withoutReceipt('us1'));
      const { said } = await bare({ peer: [liar, pinned(us1)] });
      const [address] = liar.split('#');
      expect(said.stderr).toContain(`peer (${address}) does not prove that it holds`);
      expect(said.stderr).toContain(`${address} does not know the new node key yet`);
    });
  });

  it.each([2 ** 53 - 1, 2 ** 53 - 2])(
    'one that claims to have seen the epoch %j is named, and the server can be rebuilt again and again',
    async (newestEpoch) => {
      await pushTo(us1, fr1, newer);
      const liar = await machine.addLiar(() => ({ newestEpoch, list: () => [], fetch: () => [] }));
      const epochs: number[] = [];
      for (const _ of ['first', 'second']) {
        const { code, said } = await bare({ peer: [liar, pinned(us1)] });
        expect(code).toBe(3);
        expect(said.stderr).toMatch(/DE1 does not know the new node key yet: it answers, and shows another node key/);
        expect(said.stderr).toContain('Taken by FR2, US1;');
        const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
        expect((await getNode(us1.callAs(self))).newestEpochMs).toBe(self.certificate.epoch);
        epochs.push(self.certificate.epoch);
      }
      const [first = 0, second = 0] = epochs;
      expect(second).toBeGreaterThan(first);
      expect(second).toBeLessThan(Date.now() + 60_000);
    },
  );

  it('one that proves no epoch itself is believed where the backups that it holds do', async () => {
    const future = Date.UTC(2031, 0, 1);
    const fromTheFuture = { ...fr1, server: makeServerIdentity(fr1.keys, 'FR1', future) };
    const theirs = await sealTree(fromTheFuture, treeOf('future', fr2, us1), {
      sequence: 3,
      previous: newer.manifest.digest,
    });
    // The one with the highest number need not be of the newest node key: a thief chooses the numbers of a former one.
    const highest = await sealTree(fr1, treeOf('of a thief', fr2, us1), {
      sequence: 9,
      previous: Buffer.alloc(32),
      createdAtMs: Date.UTC(2026, 10, 25),
    });
    await pushTo(us1, fr1, newer);
    const peer = await machine.addLiar((server) => ({
      list: () => [entryOf(theirs, server), entryOf(highest, server)],
      fetch: (_name, offset) => [highest.bytes.subarray(offset)],
      leaves: () => [hashesOf(highest.bytes)],
    }));
    const { said } = await bare({ peer: [peer] });
    expect(said.stderr).toContain('DE1 does not know the new node key yet');
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    expect(self.certificate.epoch).toBe(future + 86_400_000);
  });

  function* honestFetch(name: string, offset: number): Generator<Uint8Array> {
    yield honestBytes(name).subarray(offset);
  }
});
