import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { beforeEach, describe, expect, it } from 'vitest';
import { parsePeerAddress } from '../../src/client/restore/source/confirm-peers.js';
import { parseConfig } from '../../src/mesh/config/load.js';
import type { Manifest } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import { loadServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { makeKit, makeTravellingKit } from '../../src/mesh/kit/make-kit.js';
import { readChainHead } from '../../src/mesh/manifest/chain.js';
import { getNode } from '../../src/mesh/peers/get-node.js';
import { formatAddress } from '../../src/mesh/terms/address.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { type BareMachine, entryOf, makeBareMachine, pinned, treeOf } from '../support/bare-machine.js';
import { garbage } from '../support/hostile-peer.js';
import { hashesOf, manifestOf } from '../support/manifests.js';
import type { PeerNode } from '../support/peer-node.js';
import { pushTo, type Restorable, recoverableServer, sealBytes, sealTree } from '../support/restorable.js';

let machine: BareMachine;
beforeEach(async () => {
  machine = await makeBareMachine();
});

/** What FR1 was configured with when its kit was made; it names these peers. */
async function configOf(...peers: readonly PeerNode[]) {
  const lost = join(machine.folder, 'lost');
  await mkdir(join(lost, 'wireguard'), { recursive: true });
  await writeFile(join(lost, 'wireguard/wg0.conf'), '[Interface]\nPrivateKey = secret\n');
  const recipient = await identityToRecipient(machine.fr1.keys.ageIdentity);
  const lines = peers.map(
    (peer) =>
      `  - { name: ${peer.name}, vpn_ip: "${formatAddress(peer.address)}", identity: "${peer.server.identity}" }`,
  );
  const text = `server: { name: FR1, listen: 127.0.0.1 }
peers:
${lines.join('\n')}
backup: { encryption: { recipients: [${recipient}] } }
vpn: { config: [wireguard/wg0.conf] }`;
  return parseConfig(join(lost, 'config.yaml'), text).config;
}

/** Writes a kit that names these peers, and gives its path. */
async function kitOf(...peers: readonly PeerNode[]): Promise<string> {
  const { text } = await makeKit(await configOf(...peers), machine.fr1.server.signer, Date.UTC(2026, 10, 24));
  const path = join(machine.folder, 'anemone-kit-FR1.txt');
  await writeFile(path, text);
  return path;
}

/** The kit as the nightly run seals and signs it. */
async function travellingKit(...peers: readonly PeerNode[]): Promise<Restorable> {
  const { text } = await makeTravellingKit(await configOf(...peers), machine.fr1.server.signer);
  return sealBytes(machine.fr1, Buffer.from(text), { set: 'kit', createdAtMs: Date.UTC(2026, 10, 22, 1) });
}

/** Restores without --server and --peer. */
const fromKit: BareMachine['restore'] = ({ server: _, peer: __, ...options } = {}, more = {}) => {
  const call = { ...options } as Record<string, unknown>;
  return machine.restore({ server: undefined, peer: undefined, ...call } as never, more);
};
const secretOf = () => readFile(join(machine.folder, 'config/secret.key'), 'utf8');

describe('a restore with the kit', () => {
  it('needs nothing but the recovery key beside it', async () => {
    const { us1, fr1, newer, fr2 } = machine;
    await pushTo(us1, fr1, newer);
    const { code, said } = await fromKit({ kit: await kitOf(fr2, us1) });
    expect(code).toBe(0);
    expect(await secretOf()).toBe('secret new');
    expect(said.stderr).toContain('is the kit of FR1. Its peers: FR2, US1.');
  });

  it('leaves the folder of another server alone: nobody types a key before that is said', async () => {
    await mkdir(join(machine.folder, 'config'));
    await writeFile(join(machine.folder, 'config/config.yaml'), 'server: { name: DE1, listen: "127.0.0.1:7443" }\n');
    await expect(fromKit({ kit: await kitOf(machine.us1) }, { stdin: '' })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('is the folder of DE1'),
    });
  });

  it('asks for no key where nothing names a peer, or what is named is no address', async () => {
    const none = await kitOf();
    const misnamed = { kit: none, peer: ['10.8.0.2#nobody'] };
    await expect(fromKit({ kit: none }, { stdin: '' })).rejects.toMatchObject({
      kind: 'usage',
      hint: 'Name one: --peer 10.8.0.2',
    });
    await expect(machine.restore({ ...misnamed, server: undefined } as never, { stdin: '' })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('--peer 10.8.0.2#nobody'),
    });
  });

  it('writes the VPN configuration where it is told to, for its user only, and never over another', async () => {
    const { us1, fr1, newer, folder } = machine;
    await pushTo(us1, fr1, newer);
    const kit = await kitOf(us1);
    const { said } = await fromKit({ kit, vpnDir: 'vpn', dryRun: true });
    const path = join(folder, 'vpn/wg0.conf');
    expect(await readFile(path, 'utf8')).toBe('[Interface]\nPrivateKey = secret\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(said.stderr).toContain(`Written: ${path}`);
    await writeFile(path, 'mine');
    const again = await fromKit({ kit, vpnDir: 'vpn', dryRun: true });
    expect(await readFile(path, 'utf8')).toBe('mine');
    expect(again.said.stderr).toContain('is left alone');
  });

  it('says what to name instead where the folder for the VPN configuration cannot be made', async () => {
    const kit = await kitOf(machine.us1);
    await expect(fromKit({ kit, vpnDir: 'anemone-kit-FR1.txt/vpn', dryRun: true })).rejects.toMatchObject({
      message: expect.stringContaining(`cannot be written to ${machine.folder}/anemone-kit-FR1.txt/vpn: `),
      hint: expect.stringContaining('--vpn-dir DIR'),
    });
  });

  describe('whose VPN configuration is sealed to another key', () => {
    let otherKey: string;
    let kit: string;
    beforeEach(async () => {
      const { us1, fr1, newer, folder } = machine;
      await pushTo(us1, fr1, newer);
      otherKey = await generateX25519Identity();
      const config = await configOf(us1);
      const encryption = { format: 'age', recipients: [await identityToRecipient(otherKey)] } as const;
      const backup = { ...config.backup, encryption };
      const { text } = await makeKit({ ...config, backup }, fr1.server.signer, Date.UTC(2026, 10, 24));
      kit = join(folder, 'kit.txt');
      await writeFile(kit, text);
    });

    it.each([
      ['nobody can be asked for it', { stdin: '' }],
      ['the person there does not have it', { answers: ['', '', ''] }],
    ])('goes on without it when %s', async (_why, more) => {
      const { fr1 } = machine;
      const call =
        'answers' in more ? { answers: [fr1.recoveryKey, ...more.answers] } : { stdin: `${fr1.recoveryKey}\n` };
      const { code, said } = await fromKit({ kit, keyStdin: !('answers' in more), vpnDir: 'vpn' }, call);
      expect(code).toBe(0);
      expect(said.stderr).toContain('the VPN configuration of the kit opens with another key than the recovery key');
      expect(await secretOf()).toBe('secret new');
      expect(await machine.left()).not.toContain('vpn');
    });

    it('opens it with that key', async () => {
      const stdin = `${machine.fr1.recoveryKey}\n${otherKey}\n`;
      expect((await fromKit({ kit, vpnDir: 'vpn', dryRun: true }, { stdin })).code).toBe(0);
      const path = join(machine.folder, 'vpn/wg0.conf');
      expect(await readFile(path, 'utf8')).toBe('[Interface]\nPrivateKey = secret\n');
    });
  });

  it('writes two VPN configurations of one name both, and one that lies in two places once', async () => {
    const { us1, fr1, newer, folder } = machine;
    await pushTo(us1, fr1, newer);
    const config = await configOf(us1);
    const other = join(folder, 'lost/etc/wireguard/wg0.conf');
    const same = join(folder, 'lost/copy/wg0.conf');
    for (const path of [other, same]) await mkdir(join(path, '..'), { recursive: true });
    await writeFile(other, '[Interface]\nPrivateKey = other\n');
    await writeFile(same, '[Interface]\nPrivateKey = secret\n');
    const vpn = { config: [...(config.vpn.config ?? []), other, same] };
    const { text } = await makeKit({ ...config, vpn }, fr1.server.signer, Date.UTC(2026, 10, 24));
    await writeFile(join(folder, 'kit.txt'), text);
    const { said } = await fromKit({ kit: 'kit.txt', vpnDir: 'vpn', dryRun: true });
    expect((await readdir(join(folder, 'vpn'))).sort()).toEqual(['wg0-2.conf', 'wg0.conf']);
    expect(await readFile(join(folder, 'vpn/wg0-2.conf'), 'utf8')).toContain('other');
    expect(said.stderr).toContain(`Written: ${join(folder, 'vpn/wg0-2.conf')}, which was ${other}`);
    expect(said.stderr).not.toContain('there already');
  });

  it('asks a person before it writes the VPN configuration, and whether the VPN is up', async () => {
    const { us1, fr1, newer, folder } = machine;
    await pushTo(us1, fr1, newer);
    const call = { kit: await kitOf(us1), yes: false, dryRun: true };
    const { questions, said } = await fromKit(call, { answers: [true, true], quiet: true });
    expect(said.stderr).toContain('To join the VPN: wg-quick up');
    expect(questions).toEqual([`Write it to ${join(folder, 'anemone-vpn-FR1')}?`, 'Is the VPN up now?']);
    expect(await readFile(join(folder, 'anemone-vpn-FR1/wg0.conf'), 'utf8')).toContain('PrivateKey');
    await expect(fromKit(call, { answers: [true, false] })).rejects.toMatchObject({ kind: 'interrupted' });
  });

  it('takes a peer that has moved beside those of the kit, and asks for one when none of those answers', async () => {
    const { us1, fr1, newer, fr2 } = machine;
    await pushTo(us1, fr1, newer);
    const kit = await kitOf({ ...fr2, address: { host: '127.0.0.1', port: 1 } });
    await expect(fromKit({ kit })).rejects.toMatchObject({
      kind: 'unreachable',
      hint: expect.stringContaining('If one has moved, --kit and --server take its new address: --peer ADDRESS'),
    });
    const { code } = await machine.restore({ server: undefined, kit, peer: [pinned(us1)], dryRun: true } as never);
    expect(code).toBe(0);
  });

  it('takes over with a peer that has moved: the sequence goes on, and the peer refuses the former node key', async () => {
    const { us1, fr1, older, folder } = machine;
    const before = { ...us1, address: { host: '127.0.0.1', port: 1 } };
    const newer = await sealTree(fr1, treeOf('new', before), {
      sequence: 2,
      previous: older.manifest.digest,
      createdAtMs: Date.UTC(2026, 10, 21, 1),
    });
    await pushTo(us1, fr1, newer);
    const kit = await kitOf(before);
    const { code, said } = await machine.restore({ server: undefined, kit, peer: [pinned(us1)] } as never);
    expect(code).toBe(0);
    expect(said.stderr).not.toContain('did not answer');
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    const head = await readChainHead(join(folder, 'config-backups/.state'), 'backup', self.identity);
    expect(head?.facts.sequence).toBe(2);
    expect((await getNode(us1.callAs(fr1.server))).newestEpochMs).toBe(self.certificate.epoch);
    expect(said.stderr).toContain(
      `US1 was reached at ${formatAddress(us1.address)}, and ${join(folder, 'config/config.yaml')} has 127.0.0.1:1`,
    );
  });

  it('refuses the key of another server before anybody is asked', async () => {
    const other = recoverableServer('FR1');
    await expect(fromKit({ kit: await kitOf(machine.fr2) }, { stdin: `${other.recoveryKey}\n` })).rejects.toMatchObject(
      { kind: 'wrong-key' },
    );
  });

  it('calls a peer that is silent by the name that the kit gives it', async () => {
    const { fr1, fr2, us1, newer } = machine;
    await pushTo(us1, fr1, newer);
    const kit = await kitOf(fr2, us1);
    await machine.stop(fr2);
    const { code, said } = await fromKit({ kit, dryRun: true });
    expect(code).toBe(0);
    expect(said.stderr).toMatch(/FR2 did not answer: no connection/);
  });

  it('calls a peer that lies by the name that the kit gives it, whatever it calls itself', async () => {
    const { fr1, fr2, us1, newer } = machine;
    await pushTo(fr2, fr1, newer);
    const liar = await machine.addLiar((server) => ({
      hostname: 'FR2',
      list: () => [entryOf(newer, server)],
      fetch: () => [],
      leaves: () => [garbage(32)],
    }));
    const { address, identity } = parsePeerAddress(liar);
    // The first of them is asked first, and alone.
    const kit = await kitOf({ ...us1, address, server: { ...us1.server, identity: identity ?? '' } } as PeerNode, fr2);
    const { code, said } = await fromKit({ kit, takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toContain(`warning: US1 (${formatAddress(address)}) sent hashes`);
    expect(said.stderr).not.toContain('warning: FR2');
  });

  it('says whose key it was given, and asks a person again', async () => {
    const { fr1, us1, newer } = machine;
    await pushTo(us1, fr1, newer);
    const us2 = recoverableServer('US2');
    const named = { ...us1, name: parseHostname('US2'), server: us2.server };
    const call = { kit: await kitOf(us1, named), dryRun: true, yes: true, keyStdin: false };
    const { code, said } = await fromKit(call, { stdin: '', answers: [us2.recoveryKey, fr1.recoveryKey] });
    expect(code).toBe(0);
    expect(said.stderr).toContain('this is the recovery key of US2, and the kit is of FR1');
  });

  it('refuses a kit that somebody changed', async () => {
    const kit = await kitOf(machine.fr2);
    await writeFile(kit, (await readFile(kit, 'utf8')).replaceAll('name: FR2', 'name: FR6'));
    await expect(fromKit({ kit })).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('says that there is no such file', async () => {
    await expect(fromKit({ kit: 'gone.txt' })).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('waits for nobody where it is given a pipe', async () => {
    execFileSync('mkfifo', [join(machine.folder, 'pipe')]);
    const message = expect.stringContaining('pipe is not a file');
    await expect(fromKit({ kit: 'pipe' })).rejects.toMatchObject({ kind: 'usage', message });
  });

  it.each([{ server: 'FR1', peer: ['10.8.0.2'] }, { from: 'x.enc' }])('does not go with %j', async (more) => {
    const call = { server: undefined, peer: undefined, kit: 'kit.txt', ...more } as never;
    await expect(machine.restore(call)).rejects.toMatchObject({ kind: 'usage' });
  });
});

describe('the kit that travels', () => {
  it('leads from one peer to the others, with the identity that it pins', async () => {
    const { fr2, us1, fr1, newer } = machine;
    await pushTo(fr2, fr1, await travellingKit(fr2, us1));
    await pushTo(us1, fr1, newer);
    const { code, said } = await machine.restore({ peer: [pinned(fr2)], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toContain('names US1 too');
    expect(await secretOf()).toBe('secret new');
  });

  it('leads to the others also where the configuration is here, and knows one of them only, and the node key is not', async () => {
    const { fr2, us1, fr1, newer, folder } = machine;
    await pushTo(fr2, fr1, await travellingKit(fr2, us1));
    await pushTo(us1, fr1, newer);
    await mkdir(join(folder, 'config'));
    const config = treeOf('new', fr2).find(({ name }) => name === 'config/config.yaml')?.body ?? '';
    await writeFile(join(folder, 'config/config.yaml'), config);
    const { code, said } = await fromKit({ takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toContain('names US1 too');
    expect(await secretOf()).toBe('secret new');
  });

  it('leads to a peer that has moved, and is not called silent at the address that was given', async () => {
    const { fr2, us1, fr1, newer } = machine;
    await pushTo(fr2, fr1, await travellingKit(fr2, us1));
    await pushTo(us1, fr1, newer);
    const before = `127.0.0.1:1#${us1.server.identity}`;
    const { code, said } = await machine.restore({ peer: [pinned(fr2), before], takeover: false });
    expect([code, said.stderr]).toEqual([0, expect.not.stringContaining('did not answer')]);
  });

  it('names a peer that was called by its address, and is silent', async () => {
    const { fr2, us1, fr1, newer } = machine;
    await pushTo(fr2, fr1, await travellingKit(fr2, us1));
    await pushTo(fr2, fr1, newer);
    await machine.stop(us1);
    const { code, said } = await machine.restore({ peer: [pinned(fr2), pinned(us1)], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toMatch(/US1 did not answer: no connection/);
  });

  it('takes from the peer that holds it the name of another that it names, whatever it calls itself', async () => {
    const { fr2, us1, fr1, newer } = machine;
    const kit = await travellingKit(fr2, us1);
    const liar = await machine.addLiar((server) => ({
      hostname: 'FR2',
      list: () => [entryOf(kit, server), entryOf(newer, server)],
      fetch: () => [kit.bytes],
      leaves: (name) => [name === kit.manifest.facts.name ? hashesOf(kit.bytes) : garbage(32)],
    }));
    await pushTo(fr2, fr1, newer);
    const { code, said } = await machine.restore({ peer: [liar], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toContain('names FR2, US1 too');
    const { address } = parsePeerAddress(liar);
    expect(said.stderr).toContain(`warning: peer (${formatAddress(address)}) sent hashes`);
    expect(said.stderr).not.toContain('warning: FR2');
  });

  it('is never what `latest` means, although it is the newest, and is nothing to restore', async () => {
    const { fr2, fr1, newer } = machine;
    await pushTo(fr2, fr1, newer);
    await pushTo(fr2, fr1, await travellingKit(fr2));
    await machine.restore({ peer: [pinned(fr2)], takeover: false });
    expect(await secretOf()).toBe('secret new');
    await expect(machine.restore({ peer: [pinned(fr2)], set: 'kit' })).rejects.toMatchObject({ kind: 'usage' });
  });

  /** Lets FR2 hold something that is signed as a kit of FR1, and is none. */
  async function holdUseless(facts: Partial<Manifest>): Promise<void> {
    const bytes = Buffer.from('age-encryption.org/v1\nnot a kit at all\n');
    const { fr2, fr1 } = machine;
    await pushTo(fr2, fr1, { bytes, manifest: manifestOf(bytes, fr1.server.signer, { set: 'kit', ...facts }) });
  }

  it('stops nothing when it is of no use', async () => {
    const { fr2, fr1, newer } = machine;
    await pushTo(fr2, fr1, newer);
    await holdUseless({});
    const { code, said } = await machine.restore({ peer: [pinned(fr2)], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toContain('is of no use');
    expect(await secretOf()).toBe('secret new');
  });

  it('is an older one where the newest is of no use', async () => {
    const { fr2, us1, fr1, newer } = machine;
    const kit = await travellingKit(fr2, us1);
    await pushTo(fr2, fr1, kit);
    const later = (sequence: number) => ({ sequence, createdAtMs: Date.UTC(2026, 10, 22 + sequence, 1) });
    await holdUseless({ ...later(2), previous: kit.manifest.digest });
    await holdUseless({ ...later(3), previous: randomBytes(32) });
    await pushTo(us1, fr1, newer);
    const { code, said } = await machine.restore({ peer: [pinned(fr2)], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toMatch(/anemone-kit-FR1-20261125-010000\.enc.* is of no use/);
    expect(said.stderr).toContain('names US1 too');
  });
});
