import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, chown, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchToFile } from '../../../src/client/commands/fetch.js';
import { listMesh } from '../../../src/client/commands/list.js';
import { restore } from '../../../src/client/commands/restore.js';
import { showStatus } from '../../../src/client/commands/status.js';
import type { RestoreOptions } from '../../../src/client/restore/options.js';
import { openTarget } from '../../../src/client/restore/place/target.js';
import { openChain } from '../../../src/client/restore/unpack/folder-chain.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, storeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { formatAddress } from '../../../src/mesh/terms/address.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { openEpochs } from '../../../src/node/service/epochs.js';
import { entryOf, treeOf } from '../../support/bare-machine.js';
import { type CommandOptions, commandTrial } from '../../support/command.js';
import { silent } from '../../support/events.js';
import { startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { pushTo, recoverableServer, sealBytes, sealTree } from '../../support/restorable.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import { warningsOf } from '../../support/warnings.js';

const fr1 = recoverableServer('FR1');
const keysOfFR2 = deriveKeys(generateRecoveryKey());
const name = 'anemone-backup-FR1-20261123-010000.enc';
let folder: string;
let fr2: PeerNode;
beforeEach(async () => {
  folder = await temporaryFolder();
  const server = makeServerIdentity(keysOfFR2, 'FR2', 1000);
  fr2 = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', fr1.server)], server });
  await mkdir(join(folder, 'config'));
  await writeFile(
    join(folder, 'config/config.yaml'),
    `server: { name: FR1, listen: "127.0.0.1:7443" }
peers:
  - { name: FR2, vpn_ip: "${formatAddress(fr2.address)}", identity: "${fr2.server.identity}" }
`,
  );
  await storeServerIdentity(fr1.server, join(folder, 'config-backups/.state'));
  await pushTo(fr2, fr1, await sealTree(fr1, treeOf('of the backup', fr2)));
});
afterEach(async () => {
  await fr2.stop();
});

async function drill(options: Partial<RestoreOptions> = {}, more: Partial<CommandOptions> = {}) {
  const trial = commandTrial({ cwd: folder, stdin: `${fr1.recoveryKey}\n`, ...more });
  const code = await restore(trial.context, undefined, { drill: true, keyStdin: true, takeover: true, ...options });
  return { code, said: trial.said };
}
const record = () => join(folder, 'config-backups/.state/drills.jsonl');
const recorded = () => readFile(record(), 'utf8');

it('proves that the server can be brought back, says how long it takes, and changes nothing', async () => {
  await mkdir(join(folder, '.anemone-drill-killed'));
  const { code, said } = await drill();
  expect(code).toBe(0);
  expect(said.stdout).toMatch(/^FR1 can be brought back. It would take .* from here./);
  expect(said.stdout).toContain('from FR2 (');
  expect((await readdir(folder)).sort()).toEqual(['config', 'config-backups']);
  expect((await getNode(fr2.callAs(fr1.server))).newestEpochMs).toBe(fr1.server.certificate.epoch);
});

it('visits any number of peers without a warning of Node.js, which warns of more than ten', async () => {
  const away = Array.from({ length: 10 }, (_, index) => {
    const { identity } = throwawayServer(`DE${index + 1}`);
    return `  - { name: DE${index + 1}, vpn_ip: "127.0.0.1:${index + 1}", identity: "${identity}" }\n`;
  });
  await appendFile(join(folder, 'config/config.yaml'), away.join(''));
  expect(await warningsOf(drill)).toEqual([]);
});

it('names of many peers the three that gave most', async () => {
  const others = await Promise.all(
    ['DE1', 'DE2', 'DE3', 'DE4', 'DE5'].map((host) =>
      startPeerNode({ name: host, peers: [peerConfig('FR1', fr1.server)] }),
    ),
  );
  const large = { name: 'config/large', body: randomBytes(8 * 2 ** 20) };
  const facts = { sequence: 2, previous: Buffer.alloc(32, 7), createdAtMs: Date.UTC(2026, 10, 24) };
  const newest = await sealTree(fr1, [...treeOf('of the backup', fr2), large], facts);
  for (const { name: host, address, server } of others) {
    const peer = `  - { name: ${host}, vpn_ip: "${formatAddress(address)}", identity: "${server.identity}" }\n`;
    await appendFile(join(folder, 'config/config.yaml'), peer);
  }
  try {
    await Promise.all([fr2, ...others].map((node) => pushTo(node, fr1, newest)));
    const { said } = await drill();
    const { peers } = JSON.parse(await recorded()) as { peers: Record<string, number> };
    const named = Object.keys(peers).sort((a, b) => (peers[b] ?? 0) - (peers[a] ?? 0));
    expect(named.length).toBeGreaterThan(4);
    const [first, second, third] = named;
    const words = `from ${first} \\(.*\\), ${second} \\(.*\\), ${third} \\(.*\\) and ${named.length - 3} others$`;
    expect(said.stdout).toMatch(new RegExp(words, 'm'));
  } finally {
    await Promise.all(others.map((node) => node.stop()));
  }
});

it('proves a server whose configuration has another name, which --config gives', async () => {
  const config = join(folder, 'config/fr1.yaml');
  await rename(join(folder, 'config/config.yaml'), config);
  const tree = treeOf('of the backup', fr2).map((member) =>
    member.name === 'config/config.yaml' ? { ...member, name: 'config/fr1.yaml' } : member,
  );
  const facts = { sequence: 2, previous: Buffer.alloc(32, 7), createdAtMs: Date.UTC(2026, 10, 24) };
  await pushTo(fr2, fr1, await sealTree(fr1, tree, facts));
  const { said } = await drill({}, { config });
  expect(said.stdout).toMatch(/^FR1 can be brought back/);
});

it('proves a server whose data lies in a folder that is backed up: a bare machine has none yet', async () => {
  await rename(join(folder, 'config-backups'), join(folder, 'config/data'));
  const config = await readFile(join(folder, 'config/config.yaml'), 'utf8');
  const moved = config.replace('server: { name: FR1,', 'server: { name: FR1, data: ./config/data,');
  await writeFile(join(folder, 'config/config.yaml'), moved);
  const tree = treeOf('of the backup', fr2).map((member) =>
    member.name === 'config/config.yaml' ? { ...member, body: moved } : member,
  );
  const facts = { sequence: 2, previous: Buffer.alloc(32, 7), createdAtMs: Date.UTC(2026, 10, 24) };
  await pushTo(fr2, fr1, await sealTree(fr1, tree, facts));
  const { code, said } = await drill();
  expect([code, said.stdout]).toEqual([0, expect.stringContaining('FR1 can be brought back.')]);
});

it('is kept from nothing by what a killed one left and cannot be removed, and names it', async () => {
  const stale = join(folder, '.anemone-drill-killed');
  await mkdir(stale);
  const chain = await openChain(stale);
  // So deep that no path leads there any more.
  await chain.enter(Array.from({ length: 20 }, () => 'd'.repeat(250)));
  await chain.close();
  try {
    const { code, said } = await drill();
    expect([code, said.stderr]).toEqual([0, expect.stringContaining(`warning: ${stale} cannot be removed`)]);
  } finally {
    execFileSync('rm', ['-rf', stale]);
  }
});

it('leaves the files of one alone that is still at work', async () => {
  const busy = join(folder, '.anemone-drill-busy');
  const { close } = await openTarget(busy);
  try {
    expect((await drill()).code).toBe(0);
    expect(await readdir(folder)).toContain('.anemone-drill-busy');
  } finally {
    await close();
  }
});

it('tries the set `backup`, names the others, and says so of one that makes no server', async () => {
  const createdAtMs = Date.UTC(2026, 10, 23, 1, 5);
  await pushTo(fr2, fr1, await sealBytes(fr1, Buffer.from('PGDMP'), { set: 'db', createdAtMs }));
  const usual = (await drill()).said.stdout;
  expect(usual).toMatch(/^FR1 can be brought back\./);
  expect(usual).toContain(`found     ${name}`);
  expect(usual).toContain('not tried: the set db (--drill --set db)');
  const db = (await drill({ set: 'db' })).said.stdout;
  expect(db).toMatch(/^anemone-db-FR1-20261123-010500\.enc can be brought back\. It holds no configuration/);
  expect(db).not.toMatch(/FR1 can be brought back/m);
});

it('records each one, and list and status show the last', async () => {
  await drill({}, { json: true });
  const { drill: shown } = JSON.parse((await drill({}, { json: true })).said.stdout);
  const lines = (await recorded()).trim().split('\n');
  expect(lines).toHaveLength(2);
  const { at, ...last } = JSON.parse(lines[1] ?? '');
  expect(shown).toEqual({ ...last, at: new Date(at).toISOString() });
  expect(shown).toMatchObject({ backup: name, set: 'backup', entries: 4, peers: { FR2: shown.size } });

  const list = commandTrial({ cwd: folder, json: true });
  await listMesh(list.context, undefined, {});
  expect(JSON.parse(list.said.stdout).drill).toMatchObject({ backup: name, at: shown.at });
  const status = commandTrial({ cwd: folder });
  await showStatus(status.context);
  expect(status.said.stdout).toMatch(/recovery\s+proven .*, with anemone-backup-FR1-20261123-010000\.enc/);
});

it('is passed over, as by list and status, where its record has a time that no calendar has', async () => {
  await drill({}, { json: true });
  await appendFile(record(), (await recorded()).replace(/"at":\d+/, '"at":9000000000000000'));
  const list = commandTrial({ cwd: folder, json: true });
  await listMesh(list.context, undefined, {});
  expect(JSON.parse(list.said.stdout).drill.at).toMatch(/^20/);
});

it('has never been there before the first, which list and status say', async () => {
  const list = commandTrial({ cwd: folder });
  await listMesh(list.context, undefined, {});
  expect(list.said.stderr).toContain('restore --drill');
  const status = commandTrial({ cwd: folder });
  await showStatus(status.context);
  expect(status.said.stdout).toMatch(/recovery\s+never proven/);
});

it('proves nothing, and records nothing, with another key or without peers', async () => {
  const other = recoverableServer('FR1');
  await expect(drill({}, { stdin: other.recoveryKey })).rejects.toMatchObject({ kind: 'wrong-key' });
  await fr2.stop();
  await expect(drill()).rejects.toMatchObject({ kind: 'unreachable' });
  await expect(recorded()).rejects.toMatchObject({ code: 'ENOENT' });
  expect((await readdir(folder)).sort()).toEqual(['config', 'config-backups']);
});

it('takes nothing from a machine that has a superseded node key of a peer, and records nothing', async () => {
  const epochs = await openEpochs(join(folder, 'config-backups/.state/epochs.json'), silent);
  await epochs.admit(makeServerIdentity(keysOfFR2, 'FR2', 2000).certificate, parseHostname('FR2'));
  await epochs.settled();
  await expect(drill()).rejects.toMatchObject({
    kind: 'untrusted',
    message: expect.stringContaining('a superseded node key answers there'),
  });
  await expect(recorded()).rejects.toMatchObject({ code: 'ENOENT' });
});

it('without a peer in the configuration says so, and asks for no key', async () => {
  await writeFile(join(folder, 'config/config.yaml'), 'server: { name: FR1, listen: "127.0.0.1:7443" }\n');
  await expect(drill({}, { stdin: '' })).rejects.toMatchObject({
    kind: 'config',
    message: 'a drill needs a peer, and the configuration has none that is enabled',
    hint: expect.stringContaining('peer add'),
  });
});

it('is of the whole, from the peers: what chooses something else is wrong usage', async () => {
  const others = [{ include: ['x'] }, { from: 'x' }, { target: 'x' }, { dryRun: true }];
  const needless = [{ ownership: true }, { allowUnauthenticated: true }, { vpnDir: 'x' }];
  for (const options of [...others, ...needless]) {
    await expect(drill(options)).rejects.toMatchObject({ kind: 'usage' });
  }
});

it('takes as much as a restore with the same flags', async () => {
  await expect(drill({ maxFiles: 1 })).rejects.toMatchObject({ hint: expect.stringContaining('--max-files') });
  expect((await drill({ maxFiles: 10, dryRun: false, ownership: false })).code).toBe(0);
});

it('is proven, and list and status show what they found, where the record of drills cannot be read', async () => {
  await mkdir(record());
  const { code, said } = await drill();
  expect(code).toBe(3);
  expect(said.stdout).toMatch(/^FR1 can be brought back/);
  expect(said.stderr).toMatch(/warning: this is not recorded: .*drills/);
  const list = commandTrial({ cwd: folder });
  await listMesh(list.context, undefined, {});
  expect(list.said.stdout).toContain(name);
  expect(list.said.stderr).toMatch(/cannot be told: the record of drills cannot be read: it is not a file/);
  const status = commandTrial({ cwd: folder });
  await showStatus(status.context);
  expect(status.said.stdout).toMatch(/recovery\s+the record of drills cannot be read/);
});

it.skipIf(process.geteuid?.() !== 0)('is recorded by root in a file that the user of the node can read', async () => {
  const nodeUser = 65_534;
  await chown(join(folder, 'config-backups/.state'), nodeUser, nodeUser);
  await drill();
  expect((await stat(record())).uid).toBe(nodeUser);
});

it('says how much room is missing on a disk that has not enough, as `fetch` does', async () => {
  const huge = await sealTree(fr1, treeOf('huge', fr2));
  const manifest = manifestOf(huge.bytes, fr1.server.signer, { size: 2 ** 50 });
  const liar = await startHostilePeer('DE1', fr1.server, (server) => ({
    list: () => [entryOf({ ...huge, manifest }, server)],
    fetch: () => [],
  }));
  const file = join(folder, 'config/config.yaml');
  const { address, identity } = liar.peer;
  const peer = `  - { name: DE1, vpn_ip: "${formatAddress(address)}", identity: "${identity}" }\n`;
  await writeFile(file, (await readFile(file, 'utf8')).replace(/ {2}- .*\n/, peer));
  try {
    const message = expect.stringMatching(/^there is not enough room: .* needs about .* in /);
    const tooSmall = (hint: string) => ({ kind: 'failed', message, hint: expect.stringContaining(hint) });
    await expect(drill()).rejects.toMatchObject(tooSmall('--set'));
    const { context } = commandTrial({ cwd: folder });
    await expect(fetchToFile(context, manifest.facts.name, { peer: 'DE1' })).rejects.toMatchObject(tooSmall('-o'));
    expect((await readdir(folder)).sort()).toEqual(['config', 'config-backups']);
  } finally {
    await liar.stop();
  }
});
