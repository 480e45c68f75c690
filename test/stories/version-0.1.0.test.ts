import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/mesh/config/load.js';
import { deriveKeys, parseRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { parseKit } from '../../src/mesh/kit/parse-kit.js';
import { openVpn } from '../../src/mesh/kit/seal-vpn.js';
import { verifyKit } from '../../src/mesh/kit/signed-kit.js';
import { readChainHead } from '../../src/mesh/manifest/chain.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { type RunningNode, startNode } from '../../src/node/compose.js';
import { openEpochs } from '../../src/node/service/epochs.js';
import { commandLine } from '../support/command-line.js';
import { watchEvents } from '../support/events.js';
import { freePort } from '../support/mesh.js';

/** test/vectors/0.1.0/README.md says how it was made, and why it is never made again. */
const vectors = join(import.meta.dirname, '../vectors/0.1.0');
const keys = {
  FR1: '05BA4R-CDGPJH-XBVRKN-5SCNMQ-P41SWD-BD1EDK-35HCGT-HC0GXQ-EXFRGX-H7W0',
  FR2: '04H748-B92KE9-W9F71E-73MAJM-D1JA4Z-QWFQAG-CG2R5V-4MNYWV-QMMBCC-MSD4',
};
const identities = {
  FR1: 'nYJoggN5QNwZzFbelEICWcW/7JztvA3jiEGjMGkV+xI=',
  FR2: 'jQLS7ZwzzgNhxFuiat4BBt8Y6xKjwmWA9sYhKO6jD/E=',
};
const first = 'anemone-backup-FR1-20261127-074739.enc';
const second = 'anemone-backup-FR1-20261127-074742.enc';
const ofFR2 = 'anemone-backup-FR2-20261127-074740.enc';
const kitBackup = 'anemone-kit-FR1-20261127-074739.enc';
/** The epoch of FR2's node key: when it was made. */
const epochOfFR2 = 1_795_765_655_295;

const events = watchEvents();
let folder: string;
let state: string;
let node: RunningNode;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'anemone-vectors-'));
  state = join(folder, 'config-backups/.state');
  await cp(vectors, folder, { recursive: true });
  const file = join(folder, 'config/config.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace(':17443', `:${await freePort()}`));
  node = await startNode((await loadConfig(file)).config, null, '0.0.0', events, systemClock);
});
afterAll(async () => {
  await node.stop();
  await rm(folder, { recursive: true, force: true });
});

const keysOf = (server: keyof typeof keys) => deriveKeys(parseRecoveryKey(keys[server]));
const ask = async (...args: string[]) => JSON.parse((await commandLine([...args, '--json'], { cwd: folder })).stdout);

/** @returns a file that was in a backup on this disk, opened with a recovery key */
async function restored(file: string, server: keyof typeof keys, path: string): Promise<string> {
  const target = await mkdtemp(join(folder, 'target-'));
  const args = ['restore', '--from', join(folder, 'config-backups', file), '--target', target, '--yes', '--key-stdin'];
  const { code, stderr } = await commandLine(args, { cwd: folder, input: keys[server] });
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return readFile(join(target, path), 'utf8');
}

describe('what version 0.1.0 left on a disk', () => {
  it('has the identities that its recovery keys derive today', () => {
    expect([keysOf('FR1').identity, keysOf('FR2').identity]).toEqual([identities.FR1, identities.FR2]);
  });

  it('is listed and proven, the backups of a peer too', async () => {
    const { backups } = await ask('list', '--set', 'backup');
    const rows = backups.map(({ filename, peer_name, sequence, verified, problem }: Record<string, unknown>) => [
      filename,
      peer_name,
      sequence,
      verified,
      problem,
    ]);
    expect(rows).toEqual([
      [second, 'FR1', 2, true, null],
      [ofFR2, 'FR1', 1, true, null],
      [first, 'FR1', 1, true, null],
    ]);
    expect(events.all.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('shows the receipt that was given to a peer, proven', async () => {
    const { holders } = await ask('show', ofFR2);
    expect(holders).toMatchObject([{ name: 'FR1', received_at: '2026-11-27T07:47:40.877Z', problem: null }]);
  });

  it('has receipts that count, and a history', async () => {
    const { peers, last_run } = await ask('status');
    expect(peers).toMatchObject([{ name: 'FR2', owed: [] }]);
    expect(last_run).toMatchObject({ outcome: 'done', sets: [{ set: 'backup', backup: second }, { set: 'kit' }] });
  });

  it('has a chain that goes on where it was', async () => {
    const head = await readChainHead(state, 'backup', keysOf('FR1').identity);
    expect(head?.facts).toMatchObject({ name: second, sequence: 2 });
  });

  it('remembers the newest node key of a peer, and refuses one that is older', async () => {
    const epochs = await openEpochs(join(state, 'epochs.json'), events);
    const { identity } = keysOf('FR2');
    expect(epochs.newest(identity)).toMatchObject({ epoch: epochOfFR2 });
    const older = makeServerIdentity(keysOf('FR2'), 'FR2', epochOfFR2 - 1).certificate;
    expect(await epochs.admit(older, parseHostname('FR2'))).toBe(false);
  });

  it('opens with the recovery key of its owner', async () => {
    expect(await restored(`local/${first}`, 'FR1', 'notes/today.txt')).toBe('the first of FR1\n');
    expect(await restored(`local/${second}`, 'FR1', 'notes/today.txt')).toBe('the second of FR1\n');
    expect(await restored(`FR2/${ofFR2}`, 'FR2', 'notes/today.txt')).toBe('the first of FR2\n');
  });

  it('has a kit that its server signed, with the VPN configuration in it, and one that travels with the backups', async () => {
    const path = '/srv/mesh/FR1/config/wireguard/wg0.conf';
    const content = '[Interface]\nPrivateKey = of FR1\n';
    const { identity, ageIdentity } = keysOf('FR1');
    const kit = verifyKit(
      parseKit(await readFile(join(vectors, 'config/anemone-kit-FR1.txt')), 'kit'),
      identity,
      'kit',
    );
    expect(kit).toMatchObject({ server: 'FR1', peers: [{ name: 'FR2', identity: identities.FR2 }] });
    if (kit.vpn.kind !== 'sealed') throw new Error('the VPN configuration is not sealed');
    expect(await openVpn(kit.vpn.armor, kit.vpn.files, ageIdentity)).toMatchObject([{ path, content }]);
    const travelled = Buffer.from(await restored(`local/${kitBackup}`, 'FR1', kitBackup.replace('.enc', '')));
    expect(verifyKit(parseKit(travelled, 'kit'), identity, 'kit').vpn).toMatchObject({ files: [{ path, content }] });
  });
});
