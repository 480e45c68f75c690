import { cp, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { reportOf, withMesh } from '../support/mesh.js';
import { anemonePeer } from '../support/program.js';
import { describeTree, writeConfigTree } from '../support/tree.js';

interface Row {
  readonly peer_name: string;
  readonly verified: boolean;
}

const byHolder = (a: { holder: string }, b: { holder: string }): number => (a.holder < b.holder ? -1 : 1);

describe('three servers that back up to each other', { timeout: 180_000 }, () => {
  it('show every backup on every peer, and bring a wiped one back with its recovery key and one address', () =>
    withMesh(['FR1', 'FR2', 'US1'], async ([fr1, fr2], mesh) => {
      await writeConfigTree(join(fr1.folder, 'config'), { large: 3_000_000 });
      await Promise.all(mesh.servers.map((server) => server.start()));

      for (const server of mesh.servers) {
        const { code, stdout } = await server.peer(['backup']);
        expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('Done, all of it.') });
      }
      for (const server of mesh.servers) {
        const listed = await server.peer(['list', server.name, '--json']);
        expect(listed.code).toBe(0);
        const { backups, peers } = JSON.parse(listed.stdout);
        const rows = backups.map((row: Row) => ({ holder: row.peer_name, verified: row.verified }));
        expect(rows.sort(byHolder)).toEqual(['FR1', 'FR2', 'US1'].map((holder) => ({ holder, verified: true })));
        expect(peers.every(({ ok }: { ok: boolean }) => ok)).toBe(true);
      }

      const before = await describeTree(join(fr1.folder, 'config'));
      const stolen = join(mesh.root, 'stolen');
      await fr1.stop();
      await cp(fr1.folder, stolen, { recursive: true });
      await rm(fr1.folder, { recursive: true });
      await mkdir(fr1.folder);
      const restored = await anemonePeer(
        ['restore', 'latest', '--server', 'FR1', '--peer', fr2.address, '--yes', '--key-stdin'],
        { cwd: fr1.folder, input: fr1.recoveryKey },
      );
      expect(restored).toMatchObject({ code: 0, stderr: expect.stringContaining('Taken by FR2, US1') });
      expect(await describeTree(join(fr1.folder, 'config'))).toEqual(before);

      await fr1.start();
      const next = await fr1.peer(['backup', '--force', '--json']);
      expect(next.code).toBe(0);
      expect(reportOf(next.stdout)).toMatchObject({ outcome: 'done', sets: [{ sequence: 1002 }] });
      await fr1.stop();

      const thief = await anemonePeer(['list', 'FR1', '--json', '--peer', 'US1'], { cwd: stolen });
      expect(thief.code).toBe(13);
      expect(thief.stderr).toContain('superseded');
      expect(await readFile(join(fr2.data, '.state/epochs.json'), 'utf8')).toContain(fr1.identity);

      await rm(fr1.folder, { recursive: true });
      await rename(stolen, fr1.folder);
      await fr1.start();
      const status = await fr1.peer(['status', '--json']);
      expect(status.code).toBe(3);
      expect(JSON.parse(status.stdout).peers).toMatchObject([
        { name: 'FR2', ok: false, error: expect.stringContaining('superseded') },
        { name: 'US1', ok: false, error: expect.stringContaining('superseded') },
      ]);
      const { checks } = JSON.parse((await fr1.peer(['doctor', '--json'])).stdout);
      expect(checks).toContainEqual({ check: 'peers', ok: false });
      expect(checks).toContainEqual({ check: 'backups', ok: null });
    }));
});
