import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RestoreOptions, restore } from '../../../src/client/commands/restore.js';
import { cbc1Sealer } from '../../../src/mesh/envelope/anemone-cbc1.js';
import { HeldBackup } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { loadServerIdentity, makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { readChainHead } from '../../../src/mesh/manifest/chain.js';
import { signManifest } from '../../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { formatAddress } from '../../../src/mesh/peers/peer.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { type CommandOptions, commandTrial } from '../../support/command.js';
import { garbage, type HostilePeer, type Lies, startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { factsAbout } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { pushTo, type Restorable, recoverableServer, sealTree } from '../../support/restorable.js';

const fr1 = recoverableServer('FR1');
let folder: string;
let fr2: PeerNode;
let us1: PeerNode;
let older: Restorable;
let newer: Restorable;
const hostile: HostilePeer[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'anemone-restore-'));
  const peers = [peerConfig('FR1', fr1.server)];
  [fr2, us1] = await Promise.all([startPeerNode({ name: 'FR2', peers }), startPeerNode({ name: 'US1', peers })]);
  older = await sealTree(fr1, tree('old'), { sequence: 1, createdAtMs: Date.UTC(2026, 10, 20, 1) });
  newer = await sealTree(fr1, tree('new'), {
    sequence: 2,
    previous: older.manifest.digest,
    createdAtMs: Date.UTC(2026, 10, 21, 1),
  });
});
afterEach(async () => {
  await Promise.all([fr2.stop(), us1.stop(), ...hostile.splice(0).map((peer) => peer.stop())]);
  await rm(folder, { recursive: true, force: true });
});

/** The tree of a server, with a configuration that knows both peers. */
function tree(content: string) {
  return [
    { name: 'config/', type: '5', mode: 0o755 },
    { name: 'config/config.yaml', body: configOf(content), mode: 0o644 },
    { name: 'config/secret.key', body: `secret ${content}`, mode: 0o600 },
    { name: 'config/the link', type: '2', linkname: '/etc/hostname' },
  ];
}

function configOf(comment: string): string {
  const peer = (node: PeerNode) =>
    `  - { name: ${node.name}, vpn_ip: "${formatAddress(node.address)}", identity: "${node.server.identity}" }\n`;
  return `# ${comment}\nserver: { name: FR1, listen: "127.0.0.1:7443" }\npeers:\n${peer(fr2)}${peer(us1)}`;
}

const at = (node: { readonly address: PeerNode['address'] }): string => formatAddress(node.address);
const pinned = (node: PeerNode): string => `${at(node)}#${node.server.identity}`;

/** Runs a bare restore with the recovery key on standard input. */
async function bare(options: Partial<RestoreOptions> = {}, more: Partial<CommandOptions> = {}, reference?: string) {
  const trial = commandTrial({ cwd: folder, stdin: `${fr1.recoveryKey}\n`, ...more });
  const code = await restore(trial.context, reference ?? (options.at === undefined ? 'latest' : undefined), {
    server: 'FR1',
    peer: [pinned(fr2), pinned(us1)],
    yes: true,
    keyStdin: true,
    takeover: true,
    ...options,
  });
  return { ...trial, code };
}

const left = async () => (await readdir(folder)).sort();

describe('a bare machine', () => {
  it('comes back with the recovery key and the address of one peer: tree, node key, sequence', async () => {
    await pushTo(fr2, fr1, older);
    await pushTo(fr2, fr1, newer);
    const { code, said } = await bare({ peer: [at(fr2)] });
    expect(code).toBe(0);
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret new');
    expect((await stat(join(folder, 'config/secret.key'))).mode & 0o777).toBe(0o600);
    expect(await readlink(join(folder, 'config/the link'))).toBe('/etc/hostname');
    expect(await left()).toEqual(['config', 'config-backups']);

    const state = join(folder, 'config-backups/.state');
    const self = await loadServerIdentity(state);
    expect(self.identity).toBe(fr1.server.identity);
    expect(self.certificate.epoch).toBeGreaterThan(fr1.server.certificate.epoch);
    expect((await readChainHead(state, 'backup', self.identity))?.facts.sequence).toBe(2);
    expect(said.stderr).toContain('anemone-node --config');
  });

  it('is told from its stolen predecessor by both peers from then on, though only one address was given', async () => {
    await pushTo(fr2, fr1, newer);
    await bare({ peer: [at(fr2)] });
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    for (const node of [fr2, us1]) {
      expect((await getNode(node.callAs(fr1.server))).newestEpochMs).toBe(self.certificate.epoch);
    }
  });

  it('makes an epoch that beats the newest one its peers have seen, though its own clock is wrong', async () => {
    const future = Date.UTC(2031, 0, 1);
    const fromTheFuture = makeServerIdentity(fr1.keys, 'FR1', future);
    await pushTo(us1, { ...fr1, server: fromTheFuture }, newer);
    await bare();
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    expect(self.certificate.epoch).toBe(future + 1);
  });

  it('says which peer does not know the new key yet, and ends partly', async () => {
    await pushTo(fr2, fr1, newer);
    await us1.stop();
    const { code, said } = await bare({ peer: [pinned(fr2)] });
    expect(code).toBe(3);
    expect(said.stderr).toMatch(/US1 does not know the new node key yet/);
    us1 = await startPeerNode({ name: 'US1' });
  });

  it('with --no-takeover brings the files and leaves the living server its place', async () => {
    await pushTo(fr2, fr1, newer);
    expect((await bare({ takeover: false })).code).toBe(0);
    expect(await left()).toEqual(['config']);
    expect((await getNode(fr2.callAs(fr1.server))).newestEpochMs).toBe(fr1.server.certificate.epoch);
  });

  it('only looks with --dry-run: nothing stays, nobody is locked out', async () => {
    await pushTo(fr2, fr1, newer);
    const target = join(folder, 'not/there');
    const { code, said } = await bare({ dryRun: true, yes: false, target });
    expect(code).toBe(0);
    expect(said.stdout).toContain('new        config/secret.key');
    expect(await left()).toEqual([]);
    expect((await getNode(fr2.callAs(fr1.server))).newestEpochMs).toBe(fr1.server.certificate.epoch);
  });

  it('takes the point in time that is asked for', async () => {
    await pushTo(fr2, fr1, older);
    await pushTo(fr2, fr1, newer);
    await bare({ at: '2026-11-20T12:00:00Z' });
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret old');
  });

  it('shows the identity of a peer that was given without one, and asks', async () => {
    await pushTo(fr2, fr1, newer);
    const { questions, said, code } = await bare({ peer: [at(fr2)], yes: false }, { answers: [true, true] });
    expect(code).toBe(0);
    expect(said.stderr).toContain(`has the identity ${fr2.server.identity}`);
    expect(questions).toEqual(['Is this one of your servers?', expect.stringContaining('let this machine be FR1')]);
  });

  it('does not go on with a peer that was not confirmed', async () => {
    await pushTo(fr2, fr1, newer);
    await expect(bare({ peer: [at(fr2)], yes: false }, { answers: [false] })).rejects.toMatchObject({
      kind: 'untrusted',
    });
    expect(await left()).toEqual([]);
  });

  it('names the spelling with an identity where nobody can be asked', async () => {
    await expect(bare({ peer: [at(fr2)], yes: false, dryRun: true })).rejects.toMatchObject({
      kind: 'usage',
      hint: expect.stringContaining(`${at(fr2)}#IDENTITY`),
    });
  });

  it('leaves everything as it was when the answer is no', async () => {
    await pushTo(fr2, fr1, newer);
    await expect(bare({ yes: false }, { answers: [false] })).rejects.toMatchObject({ kind: 'interrupted' });
    expect(await left()).toEqual([]);
  });

  it('keeps what was there beside it', async () => {
    await pushTo(fr2, fr1, newer);
    await mkdir(join(folder, 'config'));
    await writeFile(join(folder, 'config/mine'), 'mine');
    const { said } = await bare({ takeover: false }, { json: true });
    const { switched, dropped, changed } = JSON.parse(said.stdout);
    expect(await readFile(join(switched[0].previous, 'mine'), 'utf8')).toBe('mine');
    expect({ dropped, changed }).toEqual({ dropped: ['config/mine'], changed: [] });
  });

  it('does not reach anyone: exit code 75 and nothing changed', async () => {
    await expect(bare({ peer: [`127.0.0.1:1#${fr2.server.identity}`] })).rejects.toMatchObject({ kind: 'unreachable' });
    expect(await left()).toEqual([]);
  });

  it('has nothing at the peers: not found, and names what they show for a mistyped name', async () => {
    await expect(bare()).rejects.toMatchObject({ kind: 'not-found' });
    await pushTo(fr2, fr1, newer);
    await expect(bare({ server: 'fr1' })).rejects.toMatchObject({
      kind: 'not-found',
      hint: expect.stringContaining('FR1'),
    });
  });

  it.each([
    ['a mistyped key', (key: string) => key.replace(/.$/, (last) => (last === '0' ? '4' : '0'))],
    ['half a key', (key: string) => key.slice(0, 30)],
  ])('refuses %s without asking any peer, and never shows it', async (_what, spoil) => {
    const stdin = spoil(fr1.recoveryKey);
    const failure = await bare({}, { stdin }).catch((thrown) => thrown);
    expect(failure).toMatchObject({ kind: 'wrong-key' });
    expect(`${failure.message} ${failure.hint}`).not.toContain(stdin.slice(0, 6));
  });

  it('refuses the recovery key of another server: the peers do not know it', async () => {
    await pushTo(fr2, fr1, newer);
    const other = recoverableServer('FR1');
    await expect(bare({}, { stdin: other.recoveryKey })).rejects.toMatchObject({
      kind: 'untrusted',
      message: expect.stringContaining('does not know the server of this recovery key'),
    });
  });

  it('names who answers where another identity was expected', async () => {
    const { identity } = throwawayServer();
    await expect(bare({ peer: [`${at(fr2)}#${identity}`] })).rejects.toMatchObject({
      kind: 'untrusted',
      message: expect.stringContaining(`is ${fr2.server.identity}, not ${identity}`),
    });
  });
});

describe('choosing in a terminal', () => {
  const choosing = (answers: readonly (string | boolean)[]) => {
    const trial = commandTrial({ cwd: folder, answers });
    const options = { server: 'FR1', peer: [pinned(fr2), pinned(us1)], takeover: false };
    return { ...trial, end: restore(trial.context, undefined, options) };
  };

  it('shows a numbered list, newest first, with who holds each; then asks before it changes anything', async () => {
    await pushTo(fr2, fr1, older);
    await pushTo(fr2, fr1, newer);
    await pushTo(us1, fr1, newer);
    const { end, said, questions } = choosing([fr1.recoveryKey.toLowerCase(), '7', '2', true]);
    expect(await end).toBe(0);
    const list = said.stderr.split('\n').filter((line) => line.includes('.enc'));
    expect(list[0]).toMatch(/^1 +anemone-backup-FR1-20261121-010000\.enc.*FR2, US1/);
    expect(list[1]).toMatch(/^2 +anemone-backup-FR1-20261120-010000\.enc.*FR2$/);
    expect(questions[0]).toBe('Recovery key:');
    expect(said.stderr).toContain('Give a number from 1 to 2, or q.');
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret old');
  });

  it('leaves with q, with exit code 0 and nothing written', async () => {
    await pushTo(fr2, fr1, newer);
    expect(await choosing([fr1.recoveryKey, 'q']).end).toBe(0);
    expect(await left()).toEqual([]);
  });

  it('lets a person mistype the key twice', async () => {
    await pushTo(fr2, fr1, newer);
    expect(await choosing(['oops', `${fr1.recoveryKey}0`, fr1.recoveryKey, 'q']).end).toBe(0);
    await expect(choosing(['oops', 'oops', 'oops']).end).rejects.toMatchObject({ kind: 'wrong-key' });
  });

  it('asks nobody where there is no terminal: a backup must be named', async () => {
    const { context } = commandTrial({ cwd: folder });
    await expect(restore(context, undefined, { takeover: true })).rejects.toMatchObject({ kind: 'usage' });
  });
});

describe('hostile peers', () => {
  async function join2(lies: (server: HostilePeer['server']) => Lies): Promise<string> {
    const peer = await startHostilePeer('DE1', fr1.server, lies);
    hostile.push(peer);
    return `${formatAddress(peer.peer.address)}#${peer.peer.identity}`;
  }
  const entry = (manifest: Restorable['manifest'], holder: HostilePeer['server']): HeldBackup => ({
    manifest: manifest.signed,
    receipt: signReceipt({ manifestDigest: manifest.digest, receivedAt: 1 }, holder.signer),
  });
  const honestBytes = (name: string): Buffer => (name === newer.manifest.facts.name ? newer.bytes : older.bytes);

  it.each<[string, (name: string, offset: number) => Iterable<Uint8Array>]>([
    ['other bytes of the right length', (name, offset) => [garbage(honestBytes(name).length - offset)]],
    ['the bytes of another backup', (_name, offset) => [older.bytes.subarray(offset)]],
    ['half of it, as if it were all', (name) => [honestBytes(name).subarray(0, 100)]],
    ['more than there is', (name) => [honestBytes(name), garbage(10)]],
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
    const liar = await join2((server) => ({ list: () => [entry(newer.manifest, server)], fetch }));
    const { code, said } = await bare({ peer: [liar, pinned(us1)], takeover: false });
    expect(code).toBe(0);
    expect(said.stderr).toContain('DE1');
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret new');
    expect(await left()).toEqual(['config']);
  });

  it('one that is alone and lies cannot bring anything onto the disk', async () => {
    const liar = await join2((server) => ({
      list: () => [entry(newer.manifest, server)],
      fetch: () => [garbage(newer.bytes.length)],
    }));
    await expect(bare({ peer: [liar] })).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining('DE1'),
    });
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
    const liar = await join2(() => ({
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
    const liar = await join2((server) => ({ list: () => [entry(older.manifest, server)], fetch: honestFetch }));
    const { said } = await bare({ peer: [liar, pinned(us1)], takeover: false });
    expect(said.stderr).toMatch(/DE1 .* shows an older end/);
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret new');
  });

  it('one that shows the backup of another owner under our name is not believed', async () => {
    const other = recoverableServer('FR1');
    const theirs = await sealTree(other, tree('theirs'), { createdAtMs: Date.UTC(2026, 10, 29) });
    const liar = await join2((server) => ({
      list: () => [entry(theirs.manifest, server)],
      fetch: () => [theirs.bytes],
    }));
    await expect(bare({ peer: [liar] })).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('one that takes the name of the server for a terminal escape is called by its address', async () => {
    const liar = await join2(() => ({ hostname: '\u001b[2Jevil', list: () => [], fetch: () => [] }));
    const failure = await bare({ peer: [liar] }).catch((thrown) => thrown);
    expect(failure.message).not.toContain('\u001b');
  });

  function* honestFetch(name: string, offset: number): Generator<Uint8Array> {
    yield honestBytes(name).subarray(offset);
  }
});

describe('an interrupt', () => {
  it.each(['Is this one of your servers?', 'Put it in place'])(
    'at the question %j leaves nothing behind',
    async (asked) => {
      await pushTo(fr2, fr1, newer);
      const stop = new AbortController();
      const onQuestion = (question: string): void => {
        if (!question.startsWith(asked)) return;
        stop.abort();
        throw new Failure('interrupted', 'interrupted');
      };
      const end = bare({ peer: [at(fr2)], yes: false }, { answers: [true, true], signal: stop.signal, onQuestion });
      await expect(end).rejects.toMatchObject({ kind: 'interrupted' });
      expect(await left()).toEqual([]);
    },
  );

  it('while bytes arrive leaves nothing behind', async () => {
    const stop = new AbortController();
    const peer = await startHostilePeer('DE1', fr1.server, (server) => ({
      list: () => [
        {
          manifest: newer.manifest.signed,
          receipt: signReceipt({ manifestDigest: newer.manifest.digest, receivedAt: 1 }, server.signer),
        },
      ],
      *fetch() {
        yield newer.bytes.subarray(0, 100);
        stop.abort();
      },
    }));
    hostile.push(peer);
    const end = bare({ peer: [`${formatAddress(peer.peer.address)}#${peer.peer.identity}`] }, { signal: stop.signal });
    await expect(end).rejects.toMatchObject({ kind: 'interrupted' });
    expect(await left()).toEqual([]);
  });
});

describe('a cut link', () => {
  it('keeps what arrived, and the same command goes on from there', async () => {
    const offsets: number[] = [];
    let reach = 200;
    const peer = await startHostilePeer('DE1', fr1.server, (server) => ({
      list: () => [
        {
          manifest: newer.manifest.signed,
          receipt: signReceipt({ manifestDigest: newer.manifest.digest, receivedAt: 1 }, server.signer),
        },
      ],
      *fetch(_name, offset) {
        offsets.push(offset);
        yield newer.bytes.subarray(offset, reach);
        if (reach < newer.bytes.length) throw new Error('gone');
      },
    }));
    hostile.push(peer);
    const options = { peer: [`${formatAddress(peer.peer.address)}#${peer.peer.identity}`], takeover: false };
    await expect(bare(options)).rejects.toMatchObject({ kind: 'unreachable' });
    expect(await left()).toEqual([expect.stringMatching(/^\.anemone-restore-[0-9a-f]{16}\.part$/)]);
    reach = newer.bytes.length;
    offsets.length = 0;
    expect((await bare(options)).code).toBe(0);
    expect([offsets, await left()]).toEqual([[200], ['config']]);
  });
});

describe('a backup in the format of the predecessor', () => {
  it('is found with the recovery key and opened with the Restic key, each on its line', async () => {
    const old = await sealTree(fr1, tree('cbc1'), {}, cbc1Sealer('restic'));
    await pushTo(fr2, fr1, old);
    const { code } = await bare({ takeover: false }, { stdin: `${fr1.recoveryKey}\nrestic\n` });
    expect([code, await readFile(join(folder, 'config/secret.key'), 'utf8')]).toEqual([0, 'secret cbc1']);
    await expect(bare({}, { stdin: `${fr1.recoveryKey}\nother\n` })).rejects.toMatchObject({ kind: 'wrong-key' });
  });
});

describe('a set without a configuration', () => {
  it('is restored, and does not make this machine the server', async () => {
    const data = await sealTree(fr1, [{ name: 'db/dump', body: 'rows' }], { set: 'db' });
    await pushTo(fr2, fr1, data);
    const { code, said, questions } = await bare({ set: 'db', yes: false }, { answers: [true] });
    expect([code, questions, await left()]).toEqual([0, ['Put it in place?'], ['db']]);
    expect(said.stderr).toContain('this machine is not FR1: restore the set');
  });
});

describe('a file from disk', () => {
  async function put(bytes: Buffer, manifest?: Restorable['manifest']): Promise<string> {
    const path = join(folder, 'fr1.enc');
    await writeFile(path, bytes);
    if (manifest)
      await writeFile(
        `${path}.manifest`,
        HeldBackup.encode({ manifest: manifest.signed, receipt: undefined }).finish(),
      );
    return path;
  }
  const from = async (path: string, options: Partial<RestoreOptions> = {}, stdin = fr1.recoveryKey) => {
    const trial = commandTrial({ cwd: folder, stdin, json: true });
    const code = await restore(trial.context, undefined, {
      from: path,
      target: join(folder, 'target'),
      yes: true,
      keyStdin: true,
      takeover: true,
      ...options,
    });
    return { code, document: JSON.parse(trial.said.stdout) };
  };
  const restored = () => readFile(join(folder, 'target/config/secret.key'), 'utf8');

  it('is verified by its manifest, and opened with the recovery key', async () => {
    const { code, document } = await from(await put(newer.bytes, newer.manifest));
    expect([code, await restored()]).toEqual([0, 'secret new']);
    expect(document).toMatchObject({ format: 'age', verified: true, backup: newer.manifest.facts.name });
  });

  it('is refused without its manifest, unless that is allowed', async () => {
    const path = await put(newer.bytes);
    await expect(from(path)).rejects.toMatchObject({
      kind: 'untrusted',
      hint: expect.stringContaining('--allow-unauthenticated'),
    });
    const { document } = await from(path, { allowUnauthenticated: true });
    expect(document).toMatchObject({ format: 'age', verified: false });
    expect(await restored()).toBe('secret new');
  });

  it('of the predecessor is opened with the Restic key, and says what it is', async () => {
    const old = await sealTree(
      fr1,
      [
        { name: 'config.yaml', body: 'x' },
        { name: 'ssh/id_rsa', body: 'k', mode: 0o644 },
      ],
      {},
      cbc1Sealer('old key'),
    );
    const { document } = await from(await put(old.bytes), { allowUnauthenticated: true }, 'old key\n');
    expect(document).toMatchObject({ format: 'anemone-cbc1', verified: false });
    expect((await stat(join(folder, 'target/ssh/id_rsa'))).mode & 0o777).toBe(0o600);
    await expect(from(await put(old.bytes), { allowUnauthenticated: true }, 'wrong')).rejects.toMatchObject({
      kind: 'wrong-key',
    });
  });

  it('with one flipped bit is damaged, which is not a wrong key', async () => {
    const spoiled = Buffer.from(newer.bytes);
    spoiled[spoiled.length - 20] = (spoiled.at(-20) ?? 0) ^ 1;
    await expect(from(await put(spoiled, newer.manifest))).rejects.toMatchObject({ kind: 'damaged' });
    await rm(join(folder, 'fr1.enc.manifest'));
    await expect(from(join(folder, 'fr1.enc'), { allowUnauthenticated: true })).rejects.toMatchObject({
      kind: 'damaged',
    });
    expect(await left()).toEqual(['fr1.enc']);
  });

  it('with the recovery key of another server is a wrong key, and not damaged', async () => {
    const path = await put(newer.bytes, newer.manifest);
    const other = recoverableServer('DE1');
    await expect(from(path, {}, other.recoveryKey)).rejects.toMatchObject({ kind: 'wrong-key' });
    await rm(`${path}.manifest`);
    await expect(from(path, { allowUnauthenticated: true }, other.recoveryKey)).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.not.stringContaining('damaged:'),
    });
  });

  it('that is not there, or is no sealed file, is told apart', async () => {
    await expect(from(join(folder, 'none'))).rejects.toMatchObject({ kind: 'not-found' });
    await expect(from(await put(Buffer.from('just text\n')), { allowUnauthenticated: true })).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining('not sealed'),
    });
  });

  it('goes into a target that may not be written: nothing happens', async () => {
    if (process.getuid?.() === 0) return;
    await mkdir(join(folder, 'target'), { mode: 0o500 });
    await expect(from(await put(newer.bytes, newer.manifest))).rejects.toThrow();
    await chmod(join(folder, 'target'), 0o700);
  });
});
