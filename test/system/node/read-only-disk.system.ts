import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { FakeClock } from '../../support/fake-clock.js';
import { type MeshServer, withMesh } from '../../support/mesh.js';
import { ownDisk } from '../../support/own-disk.js';

const remount = (how: 'ro' | 'rw', { data }: MeshServer) => execFileSync('mount', ['-o', `remount,${how}`, data]);

it('a node starts on a disk that is read-only, serves its peers, and its own client once the disk takes a socket', () =>
  withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
    await fr1.edit((text) => `${text}\nlimits: { minimum_free: 1MB }\n`);
    const unmount = await ownDisk(fr1);
    try {
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      expect((await fr2.peer(['backup'])).code).toBe(0);
      await fr1.stop();
      remount('ro', fr1);
      const clock = new FakeClock(Date.now());
      await fr1.startInside(clock);
      expect(fr1.events.all).toContainEqual(
        expect.objectContaining({
          event: 'own client not served',
          fields: { reason: expect.stringMatching(/node\.sock.*EROFS/) },
        }),
      );
      const [name = ''] = await fr2.holds('local');
      const fetched = await fr2.peer(['fetch', name, '--peer', 'FR1', '-o', 'fetched.enc']);
      expect(fetched, fetched.stderr).toMatchObject({ code: 0 });

      remount('rw', fr1);
      const served = fr1.events.until('own client served');
      await clock.advance(60_000);
      await served;
      expect((await fr1.peer(['status'])).stdout).toMatch(/^node\trunning/m);
    } finally {
      await fr1.stop();
      unmount();
    }
  }));
