import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chown, mkdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { armor, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { restore } from '../../../src/client/commands/restore.js';
import type { RestoreOptions } from '../../../src/client/restore/options.js';
import { readOwnRecipient } from '../../../src/client/server/own-recipient.js';
import { ageSealer } from '../../../src/mesh/envelope/age.js';
import { cbc1Sealer } from '../../../src/mesh/envelope/anemone-cbc1.js';
import type { Sealer } from '../../../src/mesh/envelope/envelope.js';
import {
  loadServerIdentity,
  makeServerIdentity,
  storeServerIdentity,
} from '../../../src/mesh/identity/server-identity.js';
import { readChainHead } from '../../../src/mesh/manifest/chain.js';
import { leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { formatAddress } from '../../../src/mesh/terms/address.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { openEpochs } from '../../../src/node/service/epochs.js';
import { type BareMachine, entryOf, makeBareMachine, pinned, treeOf } from '../../support/bare-machine.js';
import { commandTrial } from '../../support/command.js';
import { silent } from '../../support/events.js';
import { throwawayServer } from '../../support/identities.js';
import { hashesOf, manifestOf } from '../../support/manifests.js';
import { ownSocket, serveOwn } from '../../support/own-server.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { openAsPredecessor } from '../../support/predecessor.js';
import { openRelay } from '../../support/relay.js';
import { pushTo, type Restorable, recoverableServer, sealBytes, sealTree } from '../../support/restorable.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

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

const at = (node: PeerNode): string => formatAddress(node.address);
const bare: BareMachine['restore'] = (...call) => machine.restore(...call);
const left = () => machine.left();

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
    expect(await readOwnRecipient(state, self.identity)).toBe(await identityToRecipient(fr1.keys.ageIdentity));
    expect(said.stderr).toContain('anemone-node --config');
    expect(said.stderr).not.toContain('This machine has no address');
  });

  it('is told from its stolen predecessor by both peers from then on, though only one address was given', async () => {
    await pushTo(fr2, fr1, newer);
    await bare({ peer: [at(fr2)] });
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    for (const node of [fr2, us1]) {
      expect((await getNode(node.callAs(fr1.server))).newestEpochMs).toBe(self.certificate.epoch);
    }
  });

  it('makes an epoch that beats the newest one its peers have seen by a day, though its own clock is wrong', async () => {
    const future = Date.UTC(2031, 0, 1);
    const fromTheFuture = makeServerIdentity(fr1.keys, 'FR1', future);
    await pushTo(us1, { ...fr1, server: fromTheFuture }, newer);
    await bare();
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    expect(self.certificate.epoch).toBe(future + 86_400_000);
  });

  it('has numbers for years also after the highest that a thief could sign, though its own clock is wrong', async () => {
    const future = Date.UTC(2031, 0, 1);
    const stolen = { ...fr1, server: makeServerIdentity(fr1.keys, 'FR1', future) };
    const highest = { sequence: 1024 * future, previous: Buffer.alloc(32) };
    await pushTo(us1, stolen, await sealTree(stolen, treeOf('of a thief', fr2, us1), highest));
    await bare();
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    const head = await readChainHead(join(folder, 'config-backups/.state'), 'backup', self.identity);
    expect(head?.facts.sequence).toBe(highest.sequence);
    const number = (sequence: number) => manifestOf(Buffer.from('x'), self.signer, { ...highest, sequence });
    expect(number(highest.sequence + 1001 + 50 * 366).facts.owner).toBe('FR1');
    expect(() => number(2 * highest.sequence)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('anemone-peer restore') }),
    );
  });

  it('says which peer does not know the new key yet, and ends partly', async () => {
    await pushTo(fr2, fr1, newer);
    await machine.stop(us1);
    const { code, said } = await bare({ peer: [pinned(fr2)] });
    expect(code).toBe(3);
    expect(said.stderr).toMatch(/US1 does not know the new node key yet/);
  });

  it('goes on from what it saw when a peer is lost before the node key is made', async () => {
    const future = Date.UTC(2031, 0, 1);
    const fromTheFuture = { ...fr1, server: makeServerIdentity(fr1.keys, 'FR1', future) };
    await pushTo(fr2, fromTheFuture, older);
    await pushTo(fr2, fromTheFuture, newer);
    await machine.stop(us1);
    const { code } = await bare(
      { peer: [pinned(fr2)], at: '2026-11-20T12:00:00Z', yes: false },
      { answers: [true], onQuestion: () => fr2.follow([]) },
    );
    expect(code).toBe(3);
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    expect(self.certificate.epoch).toBe(future + 86_400_000);
    const head = await readChainHead(join(folder, 'config-backups/.state'), 'backup', self.identity);
    expect(head?.facts.sequence).toBe(2);
  });

  it('that is restored again goes on from the newest backup it knows of, though the peer that holds it is lost', async () => {
    await pushTo(fr2, fr1, older);
    await pushTo(us1, fr1, newer);
    await bare();
    await machine.stop(us1);
    const { said } = await bare({ peer: [pinned(fr2)] });
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret old');
    const head = await readChainHead(join(folder, 'config-backups/.state'), 'backup', fr1.server.identity);
    expect(head?.facts.sequence).toBe(2);
    expect(said.stderr).toContain('backup after number 2. The thousand numbers that follow are left out');
  });

  it('that is restored again writes the newest backup of its peers down where its own record is damaged', async () => {
    const record = join(folder, 'config-backups/.state/chain/backup.manifest');
    await pushTo(fr2, fr1, newer);
    await bare();
    await writeFile(record, 'garbage');
    expect((await bare()).code).toBe(0);
    const head = await readChainHead(join(folder, 'config-backups/.state'), 'backup', fr1.server.identity);
    expect(head?.facts.sequence).toBe(2);
  });

  it.each([
    { how: 'as a server and peers are named', named: true },
    { how: 'as its configuration names them', named: false },
  ])(
    'asks for the disk of the data before it makes a node key in a folder that is not there, $how',
    async ({ named }) => {
      await pushTo(fr2, fr1, newer);
      await bare();
      await rm(join(folder, 'config-backups'), { recursive: true });
      const peers = named ? { server: 'FR1', peer: [pinned(fr2)] } : {};
      const again = async (yes: boolean) => {
        const trial = commandTrial({ cwd: folder, stdin: `${fr1.recoveryKey}\n`, answers: [false] });
        const call = restore(trial.context, 'latest', { ...peers, yes, keyStdin: true, takeover: true });
        return { ...trial, end: await call.catch((thrown) => Failure.from(thrown).message) };
      };
      const asked = await again(false);
      expect(asked.end).toBe('nothing was restored');
      expect(asked.questions.join()).toContain('makes a new node key in a data folder that is not there');
      expect(await left()).toEqual(['config']);
      const told = await again(true);
      expect(told.end).toBe(0);
      for (const { said } of [asked, told]) {
        expect(said.stderr).toContain(`warning: Is the disk of ${join(folder, 'config-backups')} mounted?`);
      }
    },
  );

  it('says what to change where it has not the address that its configuration has the node listen on', async () => {
    const tree = treeOf('new', fr2, us1).map((entry) =>
      entry.body === undefined ? entry : { ...entry, body: entry.body.replace('127.0.0.1:7443', '192.0.2.1:7443') },
    );
    await pushTo(us1, fr1, await sealTree(fr1, tree, { sequence: 3, previous: newer.manifest.digest }));
    const { said } = await bare();
    expect(said.stderr).toContain('warning: This machine has no address 192.0.2.1,');
  });

  it.skipIf(process.geteuid?.() !== 0)(
    'says how to give what root restored to the user whose folder it is in',
    async () => {
      await pushTo(fr2, fr1, newer);
      await chown(folder, 65_534, 65_533);
      const { said } = await bare();
      const [config, data] = [join(folder, 'config'), join(folder, 'config-backups')];
      expect(said.stderr).toContain(`chown -R 65534:65533 ${config} ${data}`);
      for (const path of [config, data]) await chown(path, 65_534, 65_533);
      expect((await bare()).said.stderr).not.toContain('chown');
    },
  );

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

  it('names those who did not answer once where nobody did', async () => {
    const { context, said } = commandTrial({ cwd: folder, stdin: fr1.recoveryKey });
    const options = { server: 'FR1', peer: [`127.0.0.1:1#${fr2.server.identity}`], yes: true, keyStdin: true };
    await expect(restore(context, 'latest', { ...options, takeover: true })).rejects.toMatchObject({
      message: expect.stringContaining('127.0.0.1:1'),
    });
    expect(said.stderr).not.toContain('127.0.0.1:1 did');
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
      kind: 'wrong-key',
      message: expect.stringContaining('does not know the server of this recovery key'),
    });
  });

  it('accuses no peer of not knowing the server of the key that was only started again', async () => {
    const relay = await openRelay(formatAddress(fr2.address));
    relay.endAfter((await relay.handshakeSize()) + 100);
    await expect(bare({ peer: [`${relay.address}#${fr2.server.identity}`] })).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('the connection broke'),
    });
    await relay.close();
  });

  it('refuses the recovery key of another server that the peers know, and names that', async () => {
    const us2 = recoverableServer('US2');
    fr2.follow([peerConfig('FR1', fr1.server), peerConfig('US2', us2.server)]);
    await pushTo(fr2, fr1, newer);
    await pushTo(fr2, us2, await sealTree(us2, treeOf('of US2')));
    const failure = await bare({ peer: [pinned(fr2)] }, { stdin: us2.recoveryKey }).catch((thrown) => thrown);
    expect(failure).toMatchObject({
      kind: 'wrong-key',
      message: 'this is the recovery key of US2, and FR1 is to be restored',
      hint: 'Give the key of FR1, or --server US2.',
    });
    await expect(bare({ peer: [pinned(fr2)], server: 'us2' }, { stdin: us2.recoveryKey })).rejects.toMatchObject({
      kind: 'not-found',
    });
  });

  it('names who answers where another identity was expected', async () => {
    const { identity } = throwawayServer();
    await expect(bare({ peer: [`${at(fr2)}#${identity}`] })).rejects.toMatchObject({
      kind: 'untrusted',
      message: expect.stringContaining(
        `(${at(fr2)}): another server answers there (identity ${fr2.server.identity}, expected ${identity})`,
      ),
    });
  });
});

describe('a machine that has a configuration, and cannot use its node key', () => {
  const state = () => join(folder, 'config-backups/.state');
  const look = (options: Partial<RestoreOptions> = {}) => {
    const trial = commandTrial({ cwd: folder, stdin: fr1.recoveryKey });
    const all = { yes: true, keyStdin: true, takeover: true, ...options };
    return restore(trial.context, 'latest', all).then((code) => ({ code, said: trial.said }));
  };
  const newestEpoch = async () => (await getNode(fr2.callAs(fr1.server))).newestEpochMs;
  const hasTakenOver = () => existsSync(join(state(), 'node.key'));
  beforeEach(async () => {
    await pushTo(fr2, fr1, newer);
    await mkdir(join(folder, 'config'));
    const { body = '' } = treeOf('new', fr2, us1).find((member) => member.name === 'config/config.yaml') ?? {};
    await writeFile(join(folder, 'config/config.yaml'), body);
  });

  it('because it may not be read, goes no further: the living server keeps its place', async () => {
    await mkdir(join(state(), 'node.key'), { recursive: true });
    await expect(look({ target: join(folder, 'look') })).rejects.toMatchObject({
      kind: 'config',
      message: expect.stringContaining(join(state(), 'node.key')),
    });
    expect(existsSync(join(folder, 'look'))).toBe(false);
    expect(await newestEpoch()).toBe(fr1.server.certificate.epoch);
  });

  it.each([
    ['named by its configuration', {}],
    ['named by hand', { server: 'FR1' }],
  ])('takes no place in the mesh by what it restores elsewhere, %s, and says so', async (_how, named) => {
    const peers = 'server' in named ? { peer: [pinned(fr2), pinned(us1)] } : {};
    const { code, said } = await look({ ...named, ...peers, target: join(folder, 'look') });
    expect(code).toBe(0);
    expect(existsSync(join(folder, 'look/config/secret.key'))).toBe(true);
    expect(existsSync(join(folder, 'look/config-backups'))).toBe(false);
    expect(said.stderr).toContain(`the configuration of FR1 is in ${folder}`);
    expect(await newestEpoch()).toBe(fr1.server.certificate.epoch);
  });

  it('because there is none, is the server again when it restores where its configuration is', async () => {
    expect((await look({ target: `${folder}/` })).code).toBe(0);
    expect([hasTakenOver(), (await newestEpoch()) > fr1.server.certificate.epoch]).toEqual([true, true]);
  });
});

describe('the folder of another server', () => {
  it('is no place to come back in, unless it is named: nobody types a key before that is said', async () => {
    await pushTo(fr2, fr1, newer);
    await mkdir(join(folder, 'config'));
    const config = 'server: { name: DE1, listen: "127.0.0.1:7443" }\n';
    await writeFile(join(folder, 'config/config.yaml'), config);
    await expect(bare({}, { stdin: '' })).rejects.toMatchObject({
      kind: 'usage',
      message: `${folder} is the folder of DE1, and a backup of FR1 would take its place`,
      hint: expect.stringContaining('--target'),
    });
    expect(await readFile(join(folder, 'config/config.yaml'), 'utf8')).toBe(config);
    expect((await bare({ target: join(folder, 'its place') })).code).toBe(0);
  });
});

it('is no place to come back in where the node key of another server is, though no configuration can be read', async () => {
  await pushTo(fr2, fr1, newer);
  const state = join(folder, 'config-backups/.state');
  await mkdir(join(folder, 'config'));
  await writeFile(join(folder, 'config/config.yaml'), 'server: { name: DE1');
  await storeServerIdentity(throwawayServer('DE1'), state);
  const key = await readFile(join(state, 'node.key'), 'utf8');
  await expect(bare()).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining('has a node key of another identity'),
    hint: expect.stringContaining('--target'),
  });
  expect(await readFile(join(state, 'node.key'), 'utf8')).toBe(key);
  expect(await readFile(join(folder, 'config/config.yaml'), 'utf8')).toContain('DE1');
});

describe('a configuration elsewhere on this machine that cannot be read', () => {
  it("is nobody's: the server comes back all the same", async () => {
    await pushTo(fr2, fr1, newer);
    const broken = join(await temporaryFolder(), 'config.yaml');
    await writeFile(broken, 'server: { name: , listen: }\n');
    const { code, said } = await bare({}, { env: { ANEMONE_CONFIG: broken } });
    expect([code, said.stderr]).toEqual([0, expect.stringContaining('This machine has a new node key')]);
    expect(existsSync(join(folder, 'config-backups/.state/node.key'))).toBe(true);
  });
});

describe('a lost machine that answers in the place of a peer, which this machine has seen with a newer node key', () => {
  it.each([
    ['with peers that are named', true],
    ['without a node key', false],
  ])('is given nothing, %s', async (_how, isNamed) => {
    const de1 = recoverableServer('DE1');
    const lost = await startPeerNode({ name: 'DE1', server: de1.server, peers: [peerConfig('FR1', fr1.server)] });
    try {
      await pushTo(us1, fr1, await sealTree(fr1, treeOf('new', us1, lost)));
      const { body = '' } = treeOf('new', us1, lost).find(({ name }) => name === 'config/config.yaml') ?? {};
      await mkdir(join(folder, 'config'));
      await writeFile(join(folder, 'config/config.yaml'), body);
      const epochs = await openEpochs(join(folder, 'config-backups/.state/epochs.json'), silent);
      await epochs.admit(makeServerIdentity(de1.keys, 'DE1', Date.now()).certificate, parseHostname('DE1'));
      await epochs.settled();
      const trial = commandTrial({ cwd: folder, stdin: fr1.recoveryKey });
      const named = isNamed ? { server: 'FR1', peer: [pinned(us1), pinned(lost)] } : {};
      const options = { yes: true, keyStdin: true, takeover: true, ...named };
      expect(await restore(trial.context, 'latest', options)).toBe(3);
      expect(trial.said.stderr).toMatch(/warning: .* did not answer: .*a superseded node key answers there/);
      expect(trial.said.stderr).toMatch(/does not know the new node key yet: a superseded node key answers there/);
      expect((await getNode(lost.callAs(fr1.server))).newestEpochMs).toBe(fr1.server.certificate.epoch);
    } finally {
      await lost.stop();
    }
  });
});

describe('a server that lives on this machine', () => {
  let living: PeerNode;
  const newestEpoch = async () => (await getNode(fr2.callAs(fr1.server))).newestEpochMs;
  const configOf = (listen: string) => {
    const { body = '' } = treeOf('new', fr2, us1).find((member) => member.name === 'config/config.yaml') ?? {};
    return String(body).replace('127.0.0.1:7443', listen);
  };
  const hold = async (listen: string) => {
    const tree = treeOf('new', fr2, us1).filter((member) => member.name !== 'config/config.yaml');
    const config = { name: 'config/config.yaml', body: configOf(listen), mode: 0o644 };
    await pushTo(fr2, fr1, await sealTree(fr1, [...tree, config]));
  };
  const isToldToRestart = async () => {
    const node = await serveOwn(ownSocket(folder), living.vault);
    try {
      const { code, said } = await bare();
      expect([code, said.stderr]).toEqual([0, expect.stringContaining('Restart it now')]);
    } finally {
      await node.close();
    }
  };
  beforeEach(async () => {
    living = await startPeerNode({ name: 'FR1', server: fr1.server });
  });
  afterEach(() => living.stop());

  it.each(['its address', 'a name of it', 'every address'])(
    'keeps its place when a backup of it is restored elsewhere, told by %s, and the ways on are named',
    async (how) => {
      const { port } = living.address;
      await hold({ 'a name of it': `localhost:${port}`, 'every address': `0.0.0.0:${port}` }[how] ?? at(living));
      await expect(bare({ target: join(folder, 'look') })).rejects.toMatchObject({
        kind: 'conflict',
        message: expect.stringContaining('nothing was restored: FR1 lives on this machine'),
        hint: expect.stringMatching(/--no-takeover.*--config.*stop that node first/),
      });
      expect([await newestEpoch(), existsSync(join(folder, 'look/config'))]).toEqual([
        fr1.server.certificate.epoch,
        false,
      ]);
      expect((await bare({ target: join(folder, 'look'), takeover: false })).code).toBe(0);
    },
  );

  it('is put back where it is, while its node runs, and told to restart that', async () => {
    await hold(at(living));
    await mkdir(join(folder, 'config'));
    await writeFile(join(folder, 'config/config.yaml'), configOf(at(living)));
    await expect(bare()).rejects.toMatchObject({ kind: 'conflict' });
    await isToldToRestart();
    expect(await newestEpoch()).toBeGreaterThan(fr1.server.certificate.epoch);
  });

  it('is put back while its node runs also where its configuration is broken: what asks for that says how', async () => {
    await hold(at(living));
    await mkdir(join(folder, 'config'));
    await writeFile(join(folder, 'config/config.yaml'), 'server: { name: FR1');
    const { context } = commandTrial({ cwd: folder });
    await expect(restore(context, 'latest', { yes: true, takeover: true })).rejects.toMatchObject({
      kind: 'config',
      hint: expect.stringContaining('restore --server NAME --peer ADDRESS'),
    });
    await isToldToRestart();
  });

  it('is put back in its own folder only when its node, which does not answer there, is stopped', async () => {
    await hold(at(living));
    await mkdir(join(folder, 'config'));
    await writeFile(join(folder, 'config/config.yaml'), configOf(at(living)));
    const failure = await bare().catch((thrown) => thrown);
    expect([failure.kind, failure.hint]).toEqual(['conflict', expect.stringMatching(/--no-takeover.*stop that node/)]);
    expect(failure.hint).not.toContain('in the folder of the server itself');
  });

  it('may be what listens at its address and does not answer: nothing is put into place then', async () => {
    const mute = createServer().listen(0, '127.0.0.1');
    await once(mute, 'listening');
    try {
      await hold(`127.0.0.1:${(mute.address() as AddressInfo).port}`);
      await expect(bare({ target: join(folder, 'look') }, { timeout: 1 })).rejects.toMatchObject({
        kind: 'conflict',
        message: expect.stringMatching(/nothing was restored: .* 127\.0\.0\.1:\d+ does not answer/),
        hint: expect.stringContaining('--no-takeover'),
      });
      expect(existsSync(join(folder, 'look/config'))).toBe(false);
    } finally {
      mute.close();
    }
  });

  it('does not live there where nothing can listen, as at an address of IPv6 that is switched off', async () => {
    await hold('[::]:7443');
    expect((await bare()).code).toBe(0);
  });

  it('is not taken for the one to come where another server answers at its address', async () => {
    await hold(at(us1));
    expect((await bare({ target: join(folder, 'its place') })).code).toBe(0);
    expect(await newestEpoch()).toBeGreaterThan(fr1.server.certificate.epoch);
  });
});

describe('choosing in a terminal', () => {
  const choosing = (answers: readonly (string | boolean)[]) => {
    const trial = commandTrial({ cwd: folder, answers });
    const options = { server: 'FR1', peer: [pinned(fr2), pinned(us1)], takeover: false };
    return { ...trial, end: restore(trial.context, undefined, options) };
  };

  it('shows a numbered list, the newest last, as number 1, with who holds each; then asks before it changes anything', async () => {
    await pushTo(fr2, fr1, older);
    await pushTo(fr2, fr1, newer);
    await pushTo(us1, fr1, newer);
    const { end, said, questions } = choosing([fr1.recoveryKey.toLowerCase(), '7', '2', true]);
    expect(await end).toBe(0);
    const list = said.stderr.split('\n').filter((line) => line.includes('.enc'));
    expect(list[0]).toMatch(/^2 +anemone-backup-FR1-20261120-010000\.enc.*FR2$/);
    expect(list[1]).toMatch(/^1 +anemone-backup-FR1-20261121-010000\.enc.*FR2, US1/);
    expect(questions[0]).toBe('Recovery key:');
    expect(said.stderr).toContain('Give a number from 1 to 2, or q.');
    expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret old');
  });

  it('shows with -q what the questions are about, and nothing more', async () => {
    await pushTo(fr2, fr1, newer);
    const trial = commandTrial({ cwd: folder, quiet: true, answers: [true, fr1.recoveryKey, '1', true] });
    const options = { server: 'FR1', peer: [at(fr2)], takeover: false };
    expect(await restore(trial.context, undefined, options)).toBe(0);
    expect(trial.said.stderr).toContain(`has the identity ${fr2.server.identity}`);
    expect(trial.said.stderr).toMatch(/^1 +anemone-backup-FR1-20261121-010000\.enc/m);
    expect(trial.said.stderr).toContain('4 new, 0 changed, 0 untouched');
    expect((await bare({ peer: [at(fr2)], target: join(folder, 'again') }, { quiet: true })).said.stderr).toBe('');
  });

  it('leaves with q as with no: nothing was restored, which no script takes for success', async () => {
    await pushTo(fr2, fr1, newer);
    for (const answers of [['q'], ['1', false]]) {
      const end = choosing([fr1.recoveryKey, ...answers]).end;
      await expect(end).rejects.toMatchObject({ kind: 'interrupted', message: 'nothing was restored' });
    }
    expect(await left()).toEqual([]);
  });

  it('lets a person mistype the key twice', async () => {
    await pushTo(fr2, fr1, newer);
    expect(await choosing(['oops', `${fr1.recoveryKey}0`, fr1.recoveryKey, '1', true]).end).toBe(0);
    await expect(choosing(['oops', 'oops', 'oops']).end).rejects.toMatchObject({ kind: 'wrong-key' });
  });

  it('asks nobody where there is no terminal: a backup must be named', async () => {
    const { context } = commandTrial({ cwd: folder });
    await expect(restore(context, undefined, { takeover: true })).rejects.toMatchObject({ kind: 'usage' });
  });
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

  it('while bytes arrive leaves nothing but those', async () => {
    const stop = new AbortController();
    const liar = await machine.addLiar((server) => ({
      list: () => [entryOf(newer, server)],
      *fetch() {
        yield newer.bytes.subarray(0, 100);
        stop.abort();
      },
      leaves: () => [hashesOf(newer.bytes)],
    }));
    const end = bare({ peer: [liar] }, { signal: stop.signal });
    await expect(end).rejects.toMatchObject({ kind: 'interrupted' });
    expect((await left()).filter((name) => !name.endsWith('.part'))).toEqual([]);
  });
});

describe('the step that makes this machine the server', () => {
  it('ends as it began when an interrupt comes after the node key is kept: peers may know it by then', async () => {
    await pushTo(us1, fr1, newer);
    const stop = new AbortController();
    const keyFile = join(folder, 'config-backups/.state/node.key');
    const watching = await machine.addLiar((server) => ({
      met: () => existsSync(keyFile) && stop.abort(),
      list: () => [entryOf(newer, server)],
      fetch: () => [newer.bytes],
    }));
    const { code, said } = await bare({ peer: [watching, pinned(us1)] }, { signal: stop.signal });
    expect(stop.signal.aborted).toBe(true);
    expect(said.stderr).toContain('Taken by FR2, US1;');
    expect(said.stderr).not.toContain('is not FR1 yet');
    // The peer that watches does not show that it took the key.
    expect(code).toBe(3);
  });

  it('says to restore again where a peer proves, when it is told of the new node key, that it has seen a newer one', async () => {
    await pushTo(us1, fr1, newer);
    const keyFile = join(folder, 'config-backups/.state/node.key');
    const later = makeServerIdentity(fr1.keys, 'FR1', Date.now() + 3_600_000).certificate;
    const knowing = await machine.addLiar(() => ({
      newestCertificate: () => (existsSync(keyFile) ? later.der : Buffer.alloc(0)),
      list: () => [],
      fetch: () => [],
    }));
    const { code, said } = await bare({ peer: [knowing, pinned(us1)] });
    expect(code).toBe(3);
    expect(said.stderr).toMatch(/DE1 refuses the new node key: .*Give the same command again/);
    expect(said.stderr).not.toContain('DE1 does not know the new node key yet');
  });

  it('has a node that runs here restarted: it goes on with the former node key, which its peers refuse', async () => {
    await pushTo(us1, fr1, newer);
    // What root starts by hand, a service with a user of its own could not go on with.
    expect((await bare()).said.stderr).toMatch(/Start the node now: `systemctl start anemone-node`, .*docker compose/);
    const node = await serveOwn(ownSocket(folder), us1.vault);
    try {
      const { said } = await bare();
      expect(said.stderr).toMatch(/warning: The node is running with the former node key, .*\. Restart it now: /);
      expect(said.stderr).not.toContain('Start the node now');
    } finally {
      await node.close();
    }
  });

  it('says what to do when an interrupt comes before the node key is made', async () => {
    await pushTo(us1, fr1, newer);
    const stop = new AbortController();
    const watching = await machine.addLiar(() => ({
      met: () => existsSync(join(folder, 'config/config.yaml')) && stop.abort(),
      list: () => [],
      fetch: () => [],
    }));
    const { code, said } = await bare({ peer: [watching, pinned(us1)] }, { signal: stop.signal });
    expect(code).toBe(3);
    expect(said.stderr).toMatch(/but this machine is not FR1 yet: .*interrupted\. Give the same command again\./);
    expect(await left()).toEqual(['config']);
  });

  it('says what to do when it fails, for the files are in place', async () => {
    const tree = [{ name: 'config/config.yaml', body: Buffer.from([0xff, 0xfe, 0x61]) }];
    await pushTo(us1, fr1, await sealTree(fr1, tree));
    const { code, said } = await bare({ peer: [pinned(us1)] });
    expect(code).toBe(3);
    expect(said.stderr).toMatch(/but this machine is not FR1 yet: .* is not UTF-8 text\. Save the file as UTF-8\./);
  });
});

describe('a restore that is cut off', () => {
  it('keeps what arrived, also where nobody can give more, and the same command goes on from there', async () => {
    const large = await sealTree(fr1, [{ name: 'large', body: randomBytes(20 * leafSize) }], { set: 'media' });
    const stop = new AbortController();
    const lengths: number[] = [];
    const peer = await machine.addLiar((server) => ({
      list: () => [entryOf(large, server)],
      *fetch(_name, offset, length) {
        // Two ranges are asked for at a time: whoever asks for a third one has the first one.
        if (lengths.push(length) === 3) stop.abort();
        yield large.bytes.subarray(offset, offset + length);
      },
      leaves: () => [hashesOf(large.bytes)],
    }));
    const without = await machine.addLiar((server) => ({ list: () => [entryOf(large, server)], fetch: () => [] }));
    const options = { set: 'media', takeover: false };
    const part = expect.stringMatching(/^\.anemone-restore-anemone-.*\.enc\.[0-9a-f]{16}\.part$/);
    const cutOff = bare({ ...options, peer: [peer] }, { signal: stop.signal });
    await expect(cutOff).rejects.toMatchObject({ kind: 'interrupted' });
    expect(await left()).toEqual([part]);
    await expect(bare({ ...options, peer: [without] })).rejects.toMatchObject({ kind: 'unreachable' });
    expect(await left()).toEqual([part]);
    lengths.length = 0;
    expect((await bare({ ...options, peer: [peer] })).code).toBe(0);
    expect(await left()).toEqual(['large']);
    expect(lengths.reduce((sum, length) => sum + length)).toBeLessThan(large.bytes.length - 7 * leafSize);
  });
});

describe('a backup in the format of the predecessor', () => {
  it('is found with the recovery key and opened with the Restic key, each on its line', async () => {
    const old = await sealTree(fr1, treeOf('cbc1', fr2, us1), {}, cbc1Sealer('restic'));
    await pushTo(fr2, fr1, old);
    const { code } = await bare({ takeover: false }, { stdin: `${fr1.recoveryKey}\nrestic\n` });
    expect([code, await readFile(join(folder, 'config/secret.key'), 'utf8')]).toEqual([0, 'secret cbc1']);
  });

  it('is not opened with another key, which is told without blaming the backup or its recipients', async () => {
    await pushTo(fr2, fr1, await sealedAgainst('other', treeOf('cbc1', fr2, us1)));
    await expect(bare({}, { stdin: `${fr1.recoveryKey}\nother\n` })).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.stringContaining('not damaged'),
      hint: 'Give the Restic key that it was sealed with.',
    });
  });

  it('comes back as one file, and with a warning, where nothing tells what it is', async () => {
    const dump = Buffer.concat([Buffer.from('6de29981', 'hex'), randomBytes(3000)]);
    await pushTo(fr2, fr1, await sealedAgainst('other', dump));
    const { code, said } = await bare({ takeover: false }, { stdin: `${fr1.recoveryKey}\nrestic\n` });
    expect([code, await readFile(join(folder, 'anemone-backup-FR1-20261123-010000'))]).toEqual([0, dump]);
    expect(said.stderr).toContain('nothing proves that the Restic key is the right one');
    const elsewhere = { target: join(folder, 'elsewhere') };
    await expect(bare(elsewhere, { stdin: `${fr1.recoveryKey}\nother\n` })).rejects.toMatchObject({
      kind: 'wrong-key',
    });
  });

  /** Sealed with the key `restic` so that this wrong key is none of the one in 256 that make right padding of its end. */
  async function sealedAgainst(wrong: string, content: Buffer | ReturnType<typeof treeOf>): Promise<Restorable> {
    for (;;) {
      const made = Buffer.isBuffer(content)
        ? await sealBytes(fr1, content, {}, cbc1Sealer('restic'))
        : await sealTree(fr1, content, {}, cbc1Sealer('restic'));
      try {
        openAsPredecessor(made.bytes, wrong);
      } catch {
        return made;
      }
    }
  }
});

describe('a wrong key', () => {
  it('of a large backup is told as such, and what arrived stays for the right one', async () => {
    const sealer = ageSealer([await identityToRecipient(await generateX25519Identity())]);
    await pushTo(fr2, fr1, await sealBytes(fr1, Buffer.alloc(16 * 2 ** 20), {}, sealer));
    await expect(bare()).rejects.toMatchObject({ kind: 'wrong-key' });
    expect(await left()).toEqual([expect.stringMatching(/\.part$/)]);
  });
});

describe('a backup that came sealed from its source', () => {
  const name = 'anemone-db-FR1-20261123-010000';
  const content = Buffer.from('PGDMP rows');
  const hold = async (sealer: Sealer) => pushTo(fr2, fr1, await sealBytes(fr1, content, { set: 'db' }, sealer));
  const bring = (stdin: string, more: Parameters<typeof bare>[1] = {}) => bare({ set: 'db' }, { stdin, ...more });
  const restored = () => readFile(join(folder, name));

  it.each([['in binary'], ['in armor']])('to a passphrase is opened with that, %s', async (how) => {
    await hold(passphraseSealer('the phrase', how === 'in armor'));
    await expect(bring(`${fr1.recoveryKey}\nanother\n`)).rejects.toMatchObject({ kind: 'wrong-key' });
    await bring(`${fr1.recoveryKey}\nthe phrase\n`);
    expect(await restored()).toEqual(content);
  });

  describe('to another key', () => {
    let other: string;
    beforeEach(async () => {
      other = await generateX25519Identity();
      await hold(ageSealer([await identityToRecipient(other)]));
    });

    it('is opened with that one, on the line after the recovery key', async () => {
      await bring(`${fr1.recoveryKey}\n${other}\n`);
      expect(await restored()).toEqual(content);
    });

    it('asks a person for it, once the recovery key is known not to open it', async () => {
      const trial = commandTrial({ cwd: folder, answers: [fr1.recoveryKey, other, true] });
      await restore(trial.context, 'latest', { server: 'FR1', peer: [pinned(fr2)], set: 'db', takeover: false });
      expect(trial.questions).toEqual(['Recovery key:', 'Key of a recipient:', 'Put it in place?']);
      expect(trial.said.stderr).toContain('does not open the age file');
      expect(await restored()).toEqual(content);
    });

    it('is a wrong key where that one is not given, with the ways to give it', async () => {
      await expect(bring(fr1.recoveryKey)).rejects.toMatchObject({
        kind: 'wrong-key',
        hint: expect.stringMatching(/--key-stdin.*ANEMONE_AGE_KEY_FILE.*ANEMONE_AGE_KEY_COMMAND/),
      });
    });

    it('is opened with the key that the environment names', async () => {
      const keys = {
        ANEMONE_RECOVERY_KEY_COMMAND: `echo ${fr1.recoveryKey}`,
        ANEMONE_AGE_KEY_COMMAND: `echo ${other}`,
      };
      await bare({ set: 'db', keyStdin: false }, { stdin: '', env: keys });
      expect(await restored()).toEqual(content);
    });
  });

  function passphraseSealer(passphrase: string, isArmored: boolean): Sealer {
    return {
      format: 'age',
      async *seal(plaintext) {
        const encrypter = new Encrypter();
        encrypter.setPassphrase(passphrase);
        encrypter.setScryptWorkFactor(4);
        for await (const chunk of plaintext) {
          const sealed = await encrypter.encrypt(chunk);
          yield isArmored ? Buffer.from(armor.encode(sealed)) : sealed;
        }
      },
    };
  }
});

describe('several sets', () => {
  const dump = () =>
    sealBytes(fr1, Buffer.from('PGDMP'), { set: 'db', createdAtMs: newer.manifest.facts.createdAtMs + 60_000 });

  it.each([[{}], [{ at: '2026-11-30T00:00:00Z' }]])(
    'without one named, %j means the set `backup`, whichever was made last',
    async (options) => {
      for (const made of [newer, await dump()]) await pushTo(fr2, fr1, made);
      expect((await bare({ ...options, include: ['config/secret.key'] })).code).toBe(0);
      expect(await readFile(join(folder, 'config/secret.key'), 'utf8')).toBe('secret new');
    },
  );

  it('are told apart in the list to choose from, where `backup` has the first numbers, as the one that makes this machine the server', async () => {
    for (const made of [older, newer, await dump()]) await pushTo(fr2, fr1, made);
    const { context, said } = commandTrial({ cwd: folder, answers: [fr1.recoveryKey, 'q'] });
    const call = restore(context, undefined, { server: 'FR1', peer: [pinned(fr2)], takeover: true });
    await expect(call).rejects.toMatchObject({ kind: 'interrupted' });
    const lines = said.stderr.split('\n').filter((line) => /^\d? +(BACKUP|anemone-)/.test(line));
    expect(lines).toEqual([
      expect.stringMatching(/^ +BACKUP +SET /),
      expect.stringMatching(/^3 +anemone-db-FR1-20261121-010100\.enc +db /),
      expect.stringMatching(/^2 +anemone-backup-FR1-20261120-010000\.enc +backup /),
      expect.stringMatching(/^1 +anemone-backup-FR1-20261121-010000\.enc +backup /),
    ]);
    expect(said.stderr).toContain('The set `backup` is the one that makes a machine FR1.');
  });

  it('mean the one that was made last where none is called `backup`; that it makes no server ends partly', async () => {
    const tree = await sealTree(fr1, treeOf('set files', fr2, us1), {
      set: 'files',
      createdAtMs: Date.UTC(2026, 10, 20),
    });
    for (const made of [tree, await dump()]) await pushTo(fr2, fr1, made);
    const { code, said } = await bare();
    expect(await left()).toEqual([expect.stringMatching(/^anemone-db-FR1-/)]);
    expect([code, said.stderr]).toEqual([3, expect.stringMatching(/warning: There is no config\.yaml.*is not FR1/)]);
  });
});

describe('a configuration that is not called config.yaml', () => {
  const named = () => ({ config: join(folder, 'config/fr1.yaml') });
  const hasTakenOver = () => existsSync(join(folder, 'config-backups/.state/node.key'));
  beforeEach(async () => {
    const tree = treeOf('new', fr2, us1).map((member) =>
      member.name === 'config/config.yaml' ? { ...member, name: 'config/fr1.yaml' } : member,
    );
    await pushTo(fr2, fr1, await sealTree(fr1, tree));
  });

  it('makes this machine the server where it is named', async () => {
    const { code, said } = await bare({}, named());
    expect([code, hasTakenOver()]).toEqual([0, true]);
    expect(said.stderr).toContain(`anemone-node --config ${named().config}`);
  });

  it('is to be named, which a restore without that says; then the files that are in place are enough', async () => {
    const { code, said } = await bare();
    expect([code, hasTakenOver()]).toEqual([3, false]);
    expect(said.stderr).toMatch(/warning: There is no config\.yaml.*One that has another name is named with --config/);
    const trial = commandTrial({ cwd: folder, stdin: fr1.recoveryKey, ...named() });
    expect(await restore(trial.context, 'latest', { yes: true, keyStdin: true, takeover: true })).toBe(0);
    expect(hasTakenOver()).toBe(true);
  });

  it('is to be named also where one that was there is put aside, with the folder in whose place another comes', async () => {
    const former = join(folder, 'look/config/config.yaml');
    await mkdir(dirname(former), { recursive: true });
    await writeFile(former, 'server: { name: FR1, listen: "127.0.0.1:7443" }\n');
    const { code, said } = await bare({ target: join(folder, 'look') });
    expect([code, existsSync(former)]).toEqual([3, false]);
    expect(said.stderr).toContain('There is no config.yaml yet');
  });

  it('is not looked for outside the target', async () => {
    const config = join(folder, 'of another.yaml');
    await writeFile(config, 'server: { name: DE1, listen: "127.0.0.1:7443" }\n');
    const { code, said } = await bare({ target: join(folder, 'look') }, { config });
    expect([code, said.stderr]).toEqual([3, expect.stringContaining('There is no config.yaml yet')]);
  });
});

describe('a configuration that has another place in the backup', () => {
  const fromTop = async (isWithFolder: boolean) => {
    const tree = treeOf('new', fr2, us1)
      .filter(({ name }) => isWithFolder || name === 'config/config.yaml')
      .map((member) => (member.name === 'config/config.yaml' ? { ...member, name: 'config.yaml' } : member));
    await pushTo(fr2, fr1, await sealTree(fr1, tree));
    await mkdir(join(folder, 'config'));
    await writeFile(join(folder, 'config/config.yaml'), 'server: { name: FR1, listen: "127.0.0.1:7443" }\n');
  };

  it('makes this machine the server at once: the one that was here is put aside with its folder', async () => {
    await fromTop(true);
    const { code, said } = await bare();
    expect([code, said.stderr]).toEqual([0, expect.stringContaining(`anemone-node --config ${folder}/config.yaml`)]);
    expect(existsSync(join(folder, 'config/config.yaml'))).toBe(false);
  });

  it('counts less than the one that is here and stays, which the node finds first', async () => {
    await fromTop(false);
    const { code, said } = await bare();
    const start = `anemone-node --config ${folder}/config/config.yaml`;
    expect([code, said.stderr]).toEqual([0, expect.stringContaining(start)]);
  });
});

describe('a configuration that is named by another way to its folder', () => {
  let through: string;
  beforeEach(async () => {
    await pushTo(fr2, fr1, newer);
    through = join(await temporaryFolder(), 'link');
    await symlink(folder, through);
    await mkdir(join(folder, 'config'));
  });
  const here = (name: string) =>
    writeFile(join(folder, 'config/config.yaml'), `server: { name: ${name}, listen: "127.0.0.1:7443" }\n`);
  const named = () => ({ env: { ANEMONE_CONFIG: join(through, 'config/config.yaml') } });

  it('is the one of this folder: the server comes back', async () => {
    await here('FR1');
    const { code, said } = await bare({}, named());
    expect([code, said.stderr]).toEqual([0, expect.stringContaining('This machine has a new node key')]);
  });

  it('is the one of this folder, which a backup of another server does not take', async () => {
    await here('DE1');
    await expect(bare({}, { ...named(), stdin: '' })).rejects.toMatchObject({ kind: 'usage' });
  });

  it('is found in the backup under a name of its own', async () => {
    const tree = treeOf('newest', fr2, us1).map((member) =>
      member.name === 'config/config.yaml' ? { ...member, name: 'config/fr1.yaml' } : member,
    );
    const facts = { sequence: 3, previous: newer.manifest.digest, createdAtMs: Date.UTC(2026, 10, 22, 1) };
    await pushTo(fr2, fr1, await sealTree(fr1, tree, facts));
    expect((await bare({}, { config: join(through, 'config/fr1.yaml') })).code).toBe(0);
  });
});

describe('an archive that a command wrote, as `pg_dump --format=tar` does', () => {
  it('is unpacked, which is told before anything is changed, with the way to the archive itself', async () => {
    const dump = await sealTree(fr1, [{ name: 'toc.dat', body: 'rows' }], { set: 'db' });
    for (const made of [newer, dump]) await pushTo(fr2, fr1, made);
    await mkdir(join(folder, 'config'));
    const recipient = await identityToRecipient(fr1.keys.ageIdentity);
    const sets = `backup: { sets: { db: { command: [pg_dump] } }, encryption: { recipients: [${recipient}] } }`;
    const config = `server: { name: FR1, listen: "127.0.0.1:7443" }\n${sets}\n`;
    await writeFile(join(folder, 'config/config.yaml'), config);
    const told = /is an archive that a command wrote.*`anemone-peer fetch anemone-db-FR1-.*`age -d`/s;
    const restored = await bare({ set: 'db', takeover: false });
    expect([await left(), restored.said.stderr]).toEqual([['config', 'toc.dat'], expect.stringMatching(told)]);
    expect((await bare({ set: 'backup', takeover: false })).said.stderr).not.toMatch(told);
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
