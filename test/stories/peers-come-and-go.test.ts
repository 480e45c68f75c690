import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deriveKeys, parseRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import {
  makeServerIdentity,
  type ServerIdentity,
  storeServerIdentity,
} from '../../src/mesh/identity/server-identity.js';
import { connectTo } from '../../src/mesh/peers/connection.js';
import { getNode } from '../../src/mesh/peers/get-node.js';
import { parseAddress } from '../../src/mesh/terms/address.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { FakeClock } from '../support/fake-clock.js';
import { type MeshServer, reportOf, withMesh, withRelay } from '../support/mesh.js';

/** A server as a restore makes it again, with a newer node key. */
const rebuilt = ({ recoveryKey, name }: MeshServer, epoch: number): ServerIdentity =>
  makeServerIdentity(deriveKeys(parseRecoveryKey(recoveryKey)), name, epoch);

/** Lets a server call a peer from the machine where it was rebuilt. */
async function callOnceRebuilt(server: MeshServer, peer: MeshServer, epoch: number): Promise<void> {
  const { identity } = peer;
  const called = { name: parseHostname(peer.name), address: parseAddress(peer.address), identity };
  const connection = connectTo(called, rebuilt(server, epoch), systemClock);
  await getNode(connection);
  connection.close();
}

describe('peers that come and go', { timeout: 180_000 }, () => {
  it('are followed by running nodes: added on both sides, they back up to each other', () =>
    withMesh([], async (_, mesh) => {
      const [fr1, fr2] = [await mesh.add('FR1'), await mesh.add('FR2')];
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      expect((await fr1.peer(['backup'])).stdout).toContain('no peer is configured');
      const { findings } = JSON.parse((await fr1.peer(['doctor', '--json'])).stdout);
      const lonely = findings.filter(({ problem }: { problem: string }) => problem.includes('no peer is configured'));
      expect(lonely).toMatchObject([{ check: 'peers' }]);
      const add = (name: string, address: string, identity: string) => [
        ...['peer', 'add', name, '--vpn-ip', address],
        ...['--identity', identity],
      ];
      const added = await fr1.peer(add('FR2', fr2.address, fr2.identity));
      expect(added).toMatchObject({ code: 0, stderr: expect.stringContaining('The running node follows.') });
      expect((await fr1.peer(['backup'])).code).toBe(3);
      expect((await fr2.peer(add('FR1', fr1.address, fr1.identity))).code).toBe(0);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      expect(await fr2.holds('FR1')).toEqual(await fr1.holds('local'));
    }));

  it('are cut off at once when they are removed, in the middle of a push, and are strangers from then on', () =>
    withRelay(async (fr1, fr2, relay) => {
      await fr1.edit((text) => `${text}\nlimits: { upload: 1MB }\n`);
      await writeFile(join(fr1.folder, 'config/large.bin'), randomBytes(20_000_000));
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      const run = fr1.peer(['backup']);
      await relay.untilSent(500_000);
      expect((await fr2.peer(['peer', 'remove', 'FR1'])).code).toBe(0);
      expect(await run).toMatchObject({ code: 3, stdout: expect.stringContaining('FR2') });
      expect(relay.sent()).toBeLessThan(15_000_000);
      const listed = await fr1.peer(['list', '--peer', 'FR2']);
      expect(listed).toMatchObject({ code: 13, stderr: expect.stringContaining('it does not know this server') });
      await fr2.events.until('stranger refused', ({ reason }) => String(reason).includes(fr1.identity));
      expect(await fr2.holds('FR1')).toEqual([]);
    }));

  it('get what a changed configuration says when a backup is asked for at once', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      // No time passes for FR1: it never looks at the file by itself.
      await Promise.all([fr1.startInside(new FakeClock(Date.now())), fr2.startInside()]);
      await fr1.sets('hosts:\n  paths: [/etc/hostname]');
      const { code, stdout } = await fr1.peer(['backup', '--json']);
      expect(code).toBe(0);
      expect(reportOf(stdout).sets).toMatchObject([{ set: 'hosts', outcome: 'done' }]);
      expect(await fr2.holds('FR1')).toEqual([expect.stringMatching(/^anemone-hosts-FR1-/)]);
    }));

  it('do not reach a node where its changed configuration says before it is restarted, which is told', () =>
    withMesh(['FR1'], async ([fr1]) => {
      await fr1.startInside();
      const before = await readFile(fr1.config, 'utf8');
      await fr1.edit((text) => text.replace(/listen: .*/, 'listen: 127.0.0.1:7999'));
      for (const _ of ['told once', 'not twice']) await fr1.peer(['backup']);
      expect(fr1.events.count('configuration needs a restart')).toBe(1);
      await fr1.events.until('configuration needs a restart', ({ keys }) => keys === 'server.listen');
      const told = 'server.listen is another one in the configuration than in the running node';
      expect(JSON.parse((await fr1.peer(['status', '--json'])).stdout).server.findings).toContain(told);
      expect(JSON.parse((await fr1.peer(['doctor', '--json'])).stdout).findings).toContainEqual(
        expect.objectContaining({ check: 'node', severity: 'warning', problem: told, mend: 'Restart the node.' }),
      );

      await fr1.edit(() => before);
      await fr1.peer(['backup']);
      expect(JSON.parse((await fr1.peer(['status', '--json'])).stdout).server.findings).not.toContain(told);
    }));

  it('are no longer believed at the address of their lost machine, once they were rebuilt and have called', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, lost], mesh) => {
      await Promise.all([fr1.startInside(), lost.startInside()]);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      await callOnceRebuilt(lost, fr1, mesh.setUpAt + 86_400_000);
      await writeFile(join(fr1.folder, 'config/new.txt'), 'not for a thief');
      const { code, stdout } = await fr1.peer(['backup', '--json']);
      expect(code).toBe(3);
      expect(reportOf(stdout).peers).toMatchObject([
        { peer: 'FR2', problem: { kind: 'untrusted', message: expect.stringContaining('superseded node key') } },
      ]);
      expect(await lost.holds('FR1')).toHaveLength(1);
    }));

  it('are told of at once when they refuse this server as superseded, also where nothing changed', () =>
    withMesh(['FR1', 'FR2'], async ([lost, fr2], mesh) => {
      await Promise.all([lost.startInside(), fr2.startInside()]);
      expect((await lost.peer(['backup'])).code).toBe(0);
      await callOnceRebuilt(lost, fr2, mesh.setUpAt + 86_400_000);
      const { code, stdout } = await lost.peer(['backup']);
      expect(code).toBe(3);
      expect(stdout).toContain('Done in part');
      expect(stdout.match(/FR2 did not prove everything: .* is superseded/g)).toHaveLength(1);
      const problem = { kind: 'untrusted', hint: expect.stringContaining('anemone-peer restore') };
      expect(reportOf((await lost.peer(['backup', '--json'])).stdout)).toMatchObject({
        outcome: 'partly',
        problems: [problem],
      });
    }));

  it.each([
    ['and have called', true],
    ['and were only called', false],
  ])('get all their backups again when they were rebuilt with an empty disk, %s', (_, calls) =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2], mesh) => {
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      for (const content of ['one', 'two', 'three']) {
        await writeFile(join(fr1.folder, 'config/changing.txt'), content);
        expect((await fr1.peer(['backup'])).code).toBe(0);
      }
      await fr2.stop();
      await rm(fr2.data, { recursive: true });
      await storeServerIdentity(rebuilt(fr2, mesh.setUpAt + 1), join(fr2.data, '.state'));
      await fr2.startInside();
      if (calls) expect((await fr2.peer(['list', '--peer', 'FR1'])).code).toBe(0);
      if (!calls) await writeFile(join(fr1.folder, 'config/changing.txt'), 'four');
      expect((await fr1.peer(['backup'])).code).toBe(0);
      expect(await fr2.holds('FR1')).toEqual(await fr1.holds('local'));
    }),
  );

  it('see the backups of another server only where the configuration names them as its reader', () =>
    withMesh(['FR1', 'FR2', 'US1'], async ([fr1, fr2, us1], mesh) => {
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      await fr1.peer(['backup']);
      const [name = ''] = await fr2.holds('FR1');
      const asked = ['list', 'FR1', '--peer', 'FR2', '--json'];
      const fetched = ['fetch', name, '--peer', 'FR2', '-o', join(mesh.root, 'fetched.enc')];
      expect((await us1.peer(asked)).code).toBe(10);
      expect((await us1.peer(fetched)).code).toBe(10);
      await fr2.edit((text) => text.replace('- name: US1', '- name: US1\n    reads: [FR1]'));
      await fr2.stop();
      await fr2.startInside();
      const { code, stdout } = await us1.peer(asked);
      expect(code).toBe(0);
      expect(JSON.parse(stdout).backups).toMatchObject([{ filename: name, owner: 'FR1', verified: true }]);
      expect((await us1.peer(fetched)).code).toBe(0);
    }));
});
