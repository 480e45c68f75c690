import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { examine } from '../../../src/client/commands/doctor.js';
import { fetchToFile } from '../../../src/client/commands/fetch.js';
import { listMesh } from '../../../src/client/commands/list.js';
import { restore } from '../../../src/client/commands/restore.js';
import { showBackup } from '../../../src/client/commands/show.js';
import { showStatus } from '../../../src/client/commands/status.js';
import { GetStatusResponse, RunReport } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import {
  loadServerIdentity,
  makeServerIdentity,
  storeServerIdentity,
} from '../../../src/mesh/identity/server-identity.js';
import { signManifest } from '../../../src/mesh/manifest/manifest.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { formatAddress } from '../../../src/mesh/terms/address.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { openEpochs } from '../../../src/node/service/epochs.js';
import { type CommandOptions, commandTrial } from '../../support/command.js';
import { commandLine } from '../../support/command-line.js';
import { silent } from '../../support/events.js';
import { FakeClock } from '../../support/fake-clock.js';
import { flipBit } from '../../support/flip-bit.js';
import { type HostilePeer, startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { factsAbout } from '../../support/manifests.js';
import { ownSocket, serveOwn } from '../../support/own-server.js';
import { keepDays, type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { openRelay } from '../../support/relay.js';
import { pushTo, type Restorable, recoverableServer, sealTree } from '../../support/restorable.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const fr1 = recoverableServer('FR1');
let folder: string;
const keysOfUS1 = deriveKeys(generateRecoveryKey());
let fr2: PeerNode;
let us1: PeerNode;
let first: Restorable;
let second: Restorable;

/** FR1 as its two peers know it. Its own node does not run. */
beforeEach(async () => {
  folder = await temporaryFolder();
  const peers = [peerConfig('FR1', fr1.server)];
  const server = makeServerIdentity(keysOfUS1, 'US1', 1_700_000_000_000);
  [fr2, us1] = await Promise.all([
    startPeerNode({ name: 'FR2', peers }),
    startPeerNode({ name: 'US1', peers, server }),
  ]);
  await mkdir(join(folder, 'config'));
  const peer = (node: PeerNode) =>
    `  - { name: ${node.name}, vpn_ip: "${formatAddress(node.address)}", identity: "${node.server.identity}" }\n`;
  await writeFile(
    join(folder, 'config/config.yaml'),
    `server: { name: FR1, listen: "127.0.0.1:7443" }\npeers:\n${peer(fr2)}${peer(us1)}`,
  );
  await storeServerIdentity(fr1.server, join(folder, 'config-backups/.state'));
  first = await sealTree(fr1, [{ name: 'a', body: 'one' }], { createdAtMs: Date.UTC(2026, 10, 20, 1, 2, 3) });
  second = await sealTree(fr1, [{ name: 'a', body: 'two' }], {
    sequence: 2,
    previous: first.manifest.digest,
    createdAtMs: Date.UTC(2026, 10, 21, 1),
  });
  await pushTo(fr2, fr1, first);
  await pushTo(fr2, fr1, second);
  await pushTo(us1, fr1, first);
  await pushTo(us1, fr1, second);
});
afterEach(async () => {
  await Promise.all([fr2.stop(), us1.stop()]);
});

const trial = (options: Partial<CommandOptions> = {}) => commandTrial({ cwd: folder, ...options });

it('names by doctor what a restore that was cut off left beside the configuration, as where that is a mount of its own', async () => {
  const left = join(folder, 'config/.anemone-restore-20261123-010000');
  await mkdir(left);
  const { context, said } = trial();
  await examine(context);
  expect(said.stdout).toContain(`a restore that was cut off has left opened files in ${left}`);
});

describe('list', () => {
  it('names the server that answers in the place of another, as status does', async () => {
    const { identity } = throwawayServer('DE1');
    const config = await readFile(join(folder, 'config/config.yaml'), 'utf8');
    await writeFile(join(folder, 'config/config.yaml'), config.replace(us1.server.identity, identity));
    const expected = `US1 (${formatAddress(us1.address)}): another server answers there (identity ${us1.server.identity}, expected ${identity})`;
    const list = trial({ json: true });
    expect(await listMesh(list.context, undefined, {})).toBe(3);
    const { peers } = JSON.parse(list.said.stdout);
    expect(peers.find(({ name }: { name: string }) => name === 'US1').error).toBe(expected);
    const status = trial();
    expect(await showStatus(status.context)).toBe(3);
    expect(status.said.stdout).toContain(expected);
  });

  it('names the peer that answers in the place of another, as where two addresses are swapped, and so do status and doctor', async () => {
    const config = await readFile(join(folder, 'config/config.yaml'), 'utf8');
    const [here, there] = [formatAddress(fr2.address), formatAddress(us1.address)];
    await writeFile(
      join(folder, 'config/config.yaml'),
      config.replace(there, 'swapped').replace(here, there).replace('swapped', here),
    );
    const asked = [trial(), trial(), trial()] as const;
    await expect(listMesh(asked[0].context, undefined, {})).rejects.toMatchObject({
      message: expect.stringMatching(/FR2 \(.*\): US1 answers there(.|\n)*US1 \(.*\): FR2 answers there/),
    });
    await showStatus(asked[1].context);
    await examine(asked[2].context);
    for (const { said } of asked.slice(1)) {
      expect(said.stdout).toMatch(/FR2 \(.*\): US1 answers there(.|\n)*US1 \(.*\): FR2 answers there/);
    }
  });

  it('names the lost machine that answers for a server that was rebuilt, as status does', async () => {
    const { epoch } = us1.server.certificate;
    const rebuilt = makeServerIdentity(keysOfUS1, 'US1', epoch + 1);
    const epochs = await openEpochs(join(folder, 'config-backups/.state/epochs.json'), silent);
    await epochs.admit(rebuilt.certificate, parseHostname('US1'));
    const list = trial();
    expect(await listMesh(list.context, undefined, {})).toBe(3);
    expect(list.said.stdout).toContain('US1 did not answer: a superseded node key answers there');
    const status = trial();
    expect(await showStatus(status.context)).toBe(3);
    expect(status.said.stdout).toContain('a superseded node key answers there');
    const doctor = trial();
    await examine(doctor.context);
    expect(doctor.said.stdout).toContain('a superseded node key answers there');
  });

  it('lists what it can where it cannot be read which node keys are superseded', async () => {
    await writeFile(join(folder, 'config-backups/.state/epochs.json'), 'damaged');
    const { context, said } = trial();
    expect(await listMesh(context, undefined, {})).toBe(3);
    expect(said.stdout).not.toContain('US1 did not answer');
  });

  it('names who leaves out a backup that its retention keeps, also the node of this server, by its own rules', async () => {
    const hours = Math.floor(Date.now() / 3_600_000);
    let newest = second;
    for (const sequence of [3, 4, 5]) {
      const previous = newest.manifest.digest;
      const createdAtMs = (hours - 5 + sequence) * 3_600_000;
      newest = await sealTree(fr1, [{ name: 'a', body: 'x' }], { sequence, previous, createdAtMs });
      await pushTo(us1, fr1, newest);
      if (sequence !== 4) await pushTo(fr2, fr1, newest);
    }
    let retention = keepDays(0, 7);
    const node = await serveOwn(ownSocket(folder), fr2.vault, () => retention);
    const accused = async () => {
      const { context, said } = trial();
      await listMesh(context, undefined, {});
      return said.stderr.match(/\S+ \(\S+\)(?= leaves out anemone-backup-FR1-)/g);
    };
    try {
      const peer = `FR2 (${formatAddress(fr2.address)})`;
      expect(await accused()).toEqual([peer]);
      retention = keepDays(7, 0);
      expect(await accused()).toEqual(['server (FR1)', peer]);
    } finally {
      await node.close();
    }
  });

  it('notes what the node still owes a peer, as a restore does, and warns of an older end only where it has lost that', async () => {
    const previous = second.manifest.digest;
    const createdAtMs = Date.UTC(2026, 10, 22, 1);
    const third = await sealTree(fr1, [{ name: 'a', body: 'three' }], { sequence: 3, previous, createdAtMs });
    await pushTo(us1, fr1, third);
    const problem = { kind: 'unreachable', message: 'FR2: no connection', hint: '' };
    const owed = [third.manifest.facts.name];
    const status = GetStatusResponse.fromPartial({ peers: [{ name: 'FR2', owed, problem }] });
    const node = await serveOwn(ownSocket(folder), us1.vault, undefined, async () => status);
    try {
      const list = trial();
      await listMesh(list.context, undefined, {});
      const dryRun = trial({ stdin: `${fr1.recoveryKey}\n` });
      await restore(dryRun.context, 'latest', { dryRun: true, keyStdin: true, takeover: true });
      for (const { said } of [list, dryRun]) {
        expect(said.stderr).toMatch(/^FR2 lacks 1 backup of FR1 so far: FR2: no connection$/m);
        expect(said.stderr).not.toContain('older end');
      }
      status.lastRun = RunReport.fromPartial({ audit: { peers: [{ peer: 'FR2', lost: owed }] } });
      const { context, said } = trial();
      await listMesh(context, undefined, {});
      expect(said.stderr).toMatch(/^warning: FR2.* shows an older end/m);
    } finally {
      await node.close();
    }
  });

  it('says what to do about peers that do not answer, once for all, as status does', async () => {
    const file = join(folder, 'config/config.yaml');
    const config = await readFile(file, 'utf8');
    const other = config.replace(us1.server.identity, throwawayServer('DE1').identity);
    await writeFile(file, other);
    const toldIn = ({ said }: ReturnType<typeof trial>) => said.stderr.split('`anemone-peer peer remove`').length - 1;
    const list = trial();
    await listMesh(list.context, undefined, {});
    expect(toldIn(list)).toBe(1);
    await writeFile(file, other.replace(fr2.server.identity, throwawayServer('DE2').identity));
    const status = trial();
    await showStatus(status.context);
    expect(status.said.stdout).toMatch(/FR2.*another server(.*\n)+US1.*another server/);
    expect(toldIn(status)).toBe(1);
  });

  it('tells a peer that does not know this server from one whose link broke, as status does', async () => {
    us1.follow([]);
    const list = trial();
    expect(await listMesh(list.context, undefined, {})).toBe(3);
    expect(list.said.stdout).toMatch(/^US1 did not answer: it does not know this server$/m);
    expect(list.said.stderr).toContain('On US1, run the command that `anemone-peer identity` shows here');
    const status = trial();
    expect(await showStatus(status.context)).toBe(3);
    expect(status.said.stdout).toContain(`US1 (${formatAddress(us1.address)}): it does not know this server`);
  });

  it('accuses no peer of not knowing this server that was only started again', async () => {
    const relay = await openRelay(formatAddress(us1.address));
    const file = join(folder, 'config/config.yaml');
    await writeFile(file, (await readFile(file, 'utf8')).replace(formatAddress(us1.address), relay.address));
    relay.endAfter((await relay.handshakeSize()) + 100);
    const { context, said } = trial();
    expect(await listMesh(context, undefined, {})).toBe(3);
    expect(said.stdout).toMatch(/^US1 did not answer: the connection broke/m);
    await relay.close();
  });

  it.each([
    ['list', listMesh],
    ['status', (context: Parameters<typeof showStatus>[0]) => showStatus(context)],
  ] as const)('%s waits no longer than it may for why a link broke', async (_command, run) => {
    const breaking = await openRelay(formatAddress(us1.address));
    breaking.endAfter((await breaking.handshakeSize()) + 100);
    let askAgain = (): void => {};
    const askedAgain = new Promise<void>((resolve) => {
      askAgain = resolve;
    });
    let calls = 0;
    const link = createServer((socket) => {
      calls += 1;
      socket.on('error', () => {});
      if (calls > 1) return askAgain();
      const [, port] = breaking.address.split(':');
      // What is still sent to the relay when that has ended breaks this side, too.
      const further = connect(Number(port), '127.0.0.1').on('error', () => {});
      socket.pipe(further).pipe(socket);
    });
    await once(link.listen(0, '127.0.0.1'), 'listening');
    const file = join(folder, 'config/config.yaml');
    const { port } = link.address() as AddressInfo;
    await writeFile(file, (await readFile(file, 'utf8')).replace(`${us1.address.port}`, `${port}`));
    const clock = new FakeClock();
    const answered = run(trial({ clock, timeout: 5 }).context, undefined, {});
    await askedAgain;
    await clock.advance(5_000);
    expect(await answered).toBe(3);
    await Promise.all([breaking.close(), link.close()]);
  });

  it('calls a peer once whose link breaks, as status does', async () => {
    let calls = 0;
    const broken = createServer((socket) => {
      calls += 1;
      socket.on('error', () => {}).destroy();
    });
    await once(broken.listen(0, '127.0.0.1'), 'listening');
    const config = await readFile(join(folder, 'config/config.yaml'), 'utf8');
    const { port } = broken.address() as AddressInfo;
    await writeFile(join(folder, 'config/config.yaml'), config.replace(`${us1.address.port}`, `${port}`));
    expect(await listMesh(trial().context, undefined, {})).toBe(3);
    expect(calls).toBe(1);
    expect(await showStatus(trial().context)).toBe(3);
    expect(calls).toBe(2);
    broken.close();
  });

  it('has the keys of the predecessor and its own, one row a backup and holder, newest first', async () => {
    const { context, said } = trial({ json: true });
    expect(await listMesh(context, undefined, { peer: 'FR2' })).toBe(0);
    const { server, backups, total, peers, findings } = JSON.parse(said.stdout);
    expect({ server, total, findings }).toEqual({ server: 'FR1', total: 2, findings: [] });
    expect(backups[1]).toEqual({
      filename: 'anemone-backup-FR1-20261120-010203.enc',
      path: 'FR1/anemone-backup-FR1-20261120-010203.enc',
      size: first.bytes.length,
      timestamp: '20261120-010203',
      date: '2026-11-20',
      time: '01:02:03',
      peer_name: 'FR2',
      peer_ip: '127.0.0.1',
      owner: 'FR1',
      set: 'backup',
      sha256: Buffer.from(first.manifest.facts.sha256).toString('hex'),
      created_at: '2026-11-20T01:02:03.000Z',
      received_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      sequence: 1,
      verified: true,
      problem: null,
    });
    expect(peers).toEqual([{ name: 'FR2', address: '127.0.0.1', ok: true, error: null }]);
  });

  it('shows who did not answer, and why, and ends partly', async () => {
    await us1.stop();
    const text = trial();
    expect(await listMesh(text.context, undefined, {})).toBe(3);
    expect(text.said.stdout).toMatch(/^anemone-backup-FR1-20261121-010000\.enc\tFR1\t.*\tFR2\tyes$/m);
    expect(text.said.stdout).toMatch(/^US1 did not answer: .*ECONNREFUSED/m);
    expect(text.said.stdout).toMatch(/^FR1 did not answer: the node of this server is not running/m);
    const { context, said } = trial({ json: true });
    expect(await listMesh(context, undefined, {})).toBe(3);
    expect(JSON.parse(said.stdout).peers).toMatchObject([
      { name: 'FR1', address: 'local', ok: false },
      { name: 'FR2', ok: true, error: null },
      { name: 'US1', ok: false, error: expect.stringContaining('ECONNREFUSED') },
    ]);
    us1 = await startPeerNode({ name: 'US1' });
  });

  it('stays short when one peer shows thousands that nobody signed, or of owners that nobody knows', async () => {
    const forger = throwawayServer('FR1');
    const sign = (owner: string, index: number) => {
      const { signer } = forger;
      const createdAtMs = Date.UTC(2026, 11, 1) + index * 1000;
      return {
        manifest: signManifest(factsAbout(Buffer.from('x'), signer, { owner, createdAtMs }), signer),
        receipt: undefined,
      };
    };
    const many = await startHostilePeer('US1', fr1.server, () => ({
      list: () => [],
      listPages: () =>
        ['FR1', 'XX1'].flatMap((owner) =>
          [0, 1, 2].map((page) => ({ backups: Array.from({ length: 500 }, (_, at) => sign(owner, page * 500 + at)) })),
        ),
      fetch: () => [],
    }));
    const config = join(folder, 'config/config.yaml');
    const text = (await readFile(config, 'utf8')).replace(us1.server.identity, many.server.identity);
    await writeFile(config, text.replace(formatAddress(us1.address), formatAddress(many.peer.address)));
    const { context, said } = trial();
    await listMesh(context, undefined, {});
    await many.stop();
    const lines = said.stdout.split('\n');
    expect(lines.filter((line) => line.includes('-FR1-')).map((line) => line.split('\t')[0])).toEqual([
      second.manifest.facts.name,
      first.manifest.facts.name,
    ]);
    expect(lines.length).toBeLessThan(60);
    expect(said.stdout).toMatch(/^… and 1450 more of owners that are not known here/m);
    expect(said.stderr.split('\n').filter((line) => line.startsWith('warning:'))).toEqual([
      expect.stringMatching(/^warning: US1 .* shows anemone-backup-FR1-.*; and 1497 more, not to be believed$/),
    ]);
  });

  it('ends partly when a peer dies before it has given what only it has shown', async () => {
    const dying: HostilePeer = await startHostilePeer('US1', fr1.server, () => ({
      list: () => [],
      listPages({ brief }) {
        if (brief) return [{ manifestDigests: Buffer.alloc(32, 7), receivedAtMs: [Date.UTC(2026, 10, 22)] }];
        void dying.stop();
        return [];
      },
      fetch: () => [],
    }));
    const config = join(folder, 'config/config.yaml');
    const text = (await readFile(config, 'utf8')).replace(us1.server.identity, dying.server.identity);
    await writeFile(config, text.replace(formatAddress(us1.address), formatAddress(dying.peer.address)));
    const { context, said } = trial({ json: true });
    const code = await listMesh(context, undefined, {});
    const { total, peers, findings } = JSON.parse(said.stdout);
    expect({ code, total, findings }).toEqual({ code: 3, total: 2, findings: [] });
    expect(peers).toMatchObject([{ name: 'FR1' }, { name: 'FR2', ok: true }, { name: 'US1', ok: false }]);
  });

  it.each([
    ['a host that nobody has', 'DE1', {}],
    ['a set that nobody has', undefined, { set: 'db' }],
  ])('does not find %s', async (_what, host, options) => {
    await expect(listMesh(trial().context, host, options)).rejects.toMatchObject({ kind: 'not-found' });
  });

  it.each([
    ['a host', '../x', {}],
    ['a set', undefined, { set: 'X' }],
    ['a peer', undefined, { peer: 'FR9' }],
  ])('calls %s that cannot be one wrong usage', async (_what, host, options) => {
    await expect(listMesh(trial().context, host, options)).rejects.toMatchObject({ kind: 'usage' });
  });

  it('reached nobody: unreachable, and everyone is named', async () => {
    await Promise.all([fr2.stop(), us1.stop()]);
    await expect(listMesh(trial().context, undefined, {})).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/FR2.*\n.*US1/),
    });
    [fr2, us1] = await Promise.all([startPeerNode(), startPeerNode()]);
  });
});

describe('status', () => {
  it('compares the clock of a peer when it answers, however long another one is silent', async () => {
    const clock = new FakeClock();
    const de1 = await startPeerNode({ name: 'DE1', peers: [peerConfig('FR1', fr1.server)], clock });
    const relay = await openRelay(formatAddress(de1.address));
    const silent = createServer((socket) => socket.on('error', () => {}));
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as AddressInfo;
    const peers = [
      `  - { name: DE1, vpn_ip: "${relay.address}", identity: "${de1.server.identity}" }`,
      `  - { name: US1, vpn_ip: "127.0.0.1:${port}", identity: "${us1.server.identity}" }`,
    ];
    const server = 'server: { name: FR1, listen: "127.0.0.1:7443" }';
    await writeFile(join(folder, 'config/config.yaml'), `${server}\npeers:\n${peers.join('\n')}\n`);
    try {
      const { context, said } = trial({ json: true, clock });
      const status = showStatus(context);
      while (relay.sent() === 0 || relay.open() > 0) await setImmediate();
      await clock.advance(10_000);
      expect(await status).toBe(3);
      const [answering, late] = JSON.parse(said.stdout).peers;
      expect(answering).toMatchObject({ ok: true, clock_offset_ms: 0 });
      expect(late).toMatchObject({ ok: false, error: expect.stringContaining('10 s') });
    } finally {
      silent.close();
      await relay.close();
      await de1.stop();
    }
  });
});

describe('show', () => {
  it('tells what the manifest says, who holds it and since when', async () => {
    const { context, said } = trial({ json: true });
    await showBackup(context, 'latest');
    expect(JSON.parse(said.stdout)).toMatchObject({
      filename: second.manifest.facts.name,
      sequence: 2,
      previous: first.manifest.digest.toString('hex'),
      manifest_digest: second.manifest.digest.toString('hex'),
      format: 'age',
      holders: [
        { name: 'FR2', received_at: expect.stringMatching(/Z$/), problem: null },
        { name: 'US1', received_at: expect.stringMatching(/Z$/), problem: null },
      ],
    });
  });

  it('shows no control character that an owner put into its manifest', async () => {
    const hostile = { sequence: 3, previous: second.manifest.digest, createdAtMs: Date.UTC(2026, 10, 22) };
    await pushTo(fr2, fr1, await sealTree(fr1, [{ name: 'a', body: 'three' }], { ...hostile, format: '\x1b[2J' }));
    const { context, said } = trial();
    await showBackup(context, 'latest');
    expect(said.stdout).toMatch(/^format\t\\x1b\[2J$/m);
    expect(said.stdout).not.toContain('\x1b');
  });

  it('names in the document who did not answer, as list does, for it ends partly then', async () => {
    await us1.stop();
    const show = trial({ json: true });
    const list = trial({ json: true });
    expect([await showBackup(show.context, 'latest'), await listMesh(list.context, undefined, {})]).toEqual([3, 3]);
    const [{ peers }, listed] = [show, list].map(({ said }) => JSON.parse(said.stdout));
    expect(peers).toEqual(listed.peers);
    expect(peers.map(({ name, ok }: { name: string; ok: boolean }) => [name, ok])).toEqual([
      ['FR1', false],
      ['FR2', true],
      ['US1', false],
    ]);
    us1 = await startPeerNode({ name: 'US1' });
  });

  it('is plain lines behind a pipe, their cells separated by tabs', async () => {
    const { context, said } = trial();
    await showBackup(context, 'latest');
    expect(said.stdout).toMatch(
      /^backup\tanemone-backup-FR1-20261121-010000\.enc\n(.+\t.+\n)+FR2\t127\.0\.0\.1\t.*\nUS1\t.*\n$/,
    );
    expect(said.stdout).not.toContain('  ');
  });

  it('does not find what is not there', async () => {
    await expect(showBackup(trial().context, 'ffffffff')).rejects.toMatchObject({ kind: 'not-found' });
  });
});

describe('fetch', () => {
  it('brings the file with its manifest, private, and restore --from opens the two', async () => {
    const { context, said } = trial();
    expect(await fetchToFile(context, first.manifest.facts.name, {})).toBe(0);
    const file = join(folder, first.manifest.facts.name);
    expect(said.stdout).toBe(`${file}\n`);
    expect((await readFile(file)).equals(first.bytes)).toBe(true);
    const elsewhere = await temporaryFolder();
    const opened = commandTrial({ cwd: elsewhere, stdin: fr1.recoveryKey });
    await restore(opened.context, undefined, { from: file, yes: true, keyStdin: true, takeover: true });
    expect(await readFile(join(elsewhere, 'a'), 'utf8')).toBe('one');
  });

  it('goes on where the only link was ended in the middle of what it brought, as by a node that starts again', async () => {
    const large = await sealTree(fr1, [{ name: 'a', body: randomBytes(4 * 2 ** 20) }], {
      createdAtMs: Date.UTC(2026, 10, 22),
    });
    await pushTo(fr2, fr1, large);
    const relay = await openRelay(formatAddress(fr2.address));
    const file = join(folder, 'config/config.yaml');
    await writeFile(file, (await readFile(file, 'utf8')).replace(formatAddress(fr2.address), relay.address));
    relay.endAfter(1_250_000);
    expect(await fetchToFile(trial().context, large.manifest.facts.name, { peer: 'FR2' })).toBe(0);
    expect((await readFile(join(folder, large.manifest.facts.name))).equals(large.bytes)).toBe(true);
    await relay.close();
  });

  it('brings what the node of this server has, checked like what a peer gives', async () => {
    const node = await serveOwn(ownSocket(folder), fr2.vault);
    try {
      expect(await fetchToFile(trial().context, 'latest', { peer: 'FR1' })).toBe(0);
    } finally {
      await node.close();
    }
    expect((await readFile(join(folder, second.manifest.facts.name))).equals(second.bytes)).toBe(true);
  });

  it('refuses standard output, which would pass on what is not verified yet', async () => {
    await expect(fetchToFile(trial().context, 'latest', { output: '-' })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('not written to standard output'),
    });
  });

  it('makes no folder for a file, and says which one is missing before anybody is asked', async () => {
    await Promise.all([fr2.stop(), us1.stop()]);
    const output = join(folder, 'stick/mine');
    await expect(fetchToFile(trial().context, 'latest', { output })).rejects.toMatchObject({
      kind: 'usage',
      message: `there is no folder ${join(folder, 'stick')}`,
    });
    [fr2, us1] = await Promise.all([startPeerNode(), startPeerNode()]);
  });

  it('does not replace a file, unless told to', async () => {
    const output = join(folder, 'mine');
    await writeFile(output, 'mine');
    await expect(fetchToFile(trial().context, 'latest', { output })).rejects.toMatchObject({ kind: 'usage' });
    expect(await readFile(output, 'utf8')).toBe('mine');
    await fetchToFile(trial().context, 'latest', { output, force: true });
    expect((await readFile(output)).equals(second.bytes)).toBe(true);
  });

  it('does not replace a manifest that is of something else, unless told to', async () => {
    const output = join(folder, 'mine');
    await writeFile(`${output}.manifest`, 'mine');
    await expect(fetchToFile(trial().context, 'latest', { output })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('mine.manifest is there already'),
    });
    expect([await readFile(`${output}.manifest`, 'utf8'), await readdir(folder)]).toEqual([
      'mine',
      ['config', 'config-backups', 'mine.manifest'],
    ]);
    await fetchToFile(trial().context, 'latest', { output, force: true });
    expect((await readFile(output)).equals(second.bytes)).toBe(true);
  });

  it.each([{ force: false }, { force: true }])(
    'never takes the place of a folder, and fetches nothing: %j',
    async (how) => {
      for (const name of ['usb', 'stick.manifest']) await mkdir(join(folder, name));
      for (const output of ['usb', 'stick']) {
        await expect(fetchToFile(trial().context, 'latest', { output, ...how })).rejects.toMatchObject({
          kind: 'usage',
          message: expect.stringContaining('is no file'),
          hint: 'Name another file with -o.',
        });
      }
      expect(await readdir(folder)).toEqual(['config', 'config-backups', 'stick.manifest', 'usb']);
    },
  );

  it('leaves no file under the final name when bytes rot on the only peer that is asked', async () => {
    await flipBit(join(fr2.data, 'FR1', second.manifest.facts.name), 0);
    const { context } = trial();
    await expect(fetchToFile(context, 'latest', { peer: 'FR2' })).rejects.toMatchObject({ kind: 'damaged' });
    expect(await readdir(folder)).toEqual(['config', 'config-backups']);
    // Asked for the hashes of its leaves it read them from its file, and noticed.
    expect(fr2.vault.damaged(parseHostname('FR1'))).toEqual([second.manifest.facts.name]);
    expect(await fetchToFile(trial().context, 'latest', {})).toBe(0);
    expect((await readFile(join(folder, second.manifest.facts.name))).equals(second.bytes)).toBe(true);
  });
});

describe('restore on a server that has its configuration', () => {
  const run = async (key: string, options: Partial<CommandOptions> = {}) => {
    const { context } = trial({ stdin: key, ...options });
    return restore(context, 'latest', { yes: true, keyStdin: true, takeover: true });
  };

  it('goes where the configuration is, and leaves the node key as it is', async () => {
    const before = await readFile(join(folder, 'config-backups/.state/node.key'), 'utf8');
    expect(await run(fr1.recoveryKey)).toBe(0);
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('two');
    expect(await readFile(join(folder, 'config-backups/.state/node.key'), 'utf8')).toBe(before);
  });

  it('refuses the recovery key of another server as a wrong key', async () => {
    await expect(run(recoverableServer('FR1').recoveryKey)).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.stringContaining('another server'),
    });
  });

  it('makes a new node key, by visiting its peers with the recovery key, when the node key is lost', async () => {
    await rm(join(folder, 'config-backups'), { recursive: true });
    expect(await run(fr1.recoveryKey)).toBe(0);
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('two');
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    expect((await getNode(us1.callAs(fr1.server))).newestEpochMs).toBe(self.certificate.epoch);
  });

  it('takes its place back with what doctor says, when another machine was rebuilt as this server', async () => {
    const other = makeServerIdentity(fr1.keys, 'FR1', Date.now());
    for (const node of [fr2, us1]) await getNode(node.callAs(other));
    const { context, said } = trial({ json: true });
    await examine(context);
    const { findings } = JSON.parse(said.stdout);
    const { mend } = findings.find(({ problem }: { problem: string }) => problem.includes('newer node key'));
    const [, command = ''] = /anemone-peer (restore.*?), with the recovery key/.exec(mend) ?? [];
    const args = [...command.replaceAll("'", '').split(' '), 'latest', '--yes', '--key-stdin'];
    const { code, stderr } = await commandLine(args, { cwd: tmpdir(), input: `${fr1.recoveryKey}\n` });
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('Taken by FR2, US1;') });
    const self = await loadServerIdentity(join(folder, 'config-backups/.state'));
    expect(self.certificate.epoch).toBeGreaterThan(other.certificate.epoch);
    expect((await getNode(us1.callAs(self))).newestEpochMs).toBe(self.certificate.epoch);
  });
});
