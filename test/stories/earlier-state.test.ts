import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-clock.js';
import { type MeshServer, reportOf, withMesh } from '../support/mesh.js';

async function backUp(server: MeshServer, content: string) {
  await writeFile(join(server.folder, 'config/app.conf'), content);
  const { code, stdout } = await server.peer(['backup', '--json']);
  const report = reportOf(stdout);
  return { code, sequence: report.sets[0].sequence, report };
}

describe('a data folder that was put back to an earlier state', { timeout: 60_000 }, () => {
  it('is noticed, gives no number twice, and what is made from then on is the latest', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2], mesh) => {
      const clock = new FakeClock();
      await Promise.all([fr1.startInside(clock), fr2.startInside(clock)]);
      expect(await backUp(fr1, 'first')).toMatchObject({ code: 0, sequence: 1 });
      await fr1.stop();
      const snapshot = join(mesh.root, 'snapshot');
      await cp(fr1.data, snapshot, { recursive: true, filter: (path) => !path.endsWith('.sock') });
      await fr1.startInside(clock);
      for (const nth of [2, 3]) {
        await clock.advance(60_000);
        expect(await backUp(fr1, `number ${nth}`)).toMatchObject({ code: 0, sequence: nth });
      }
      await fr1.stop();
      await rm(fr1.data, { recursive: true });
      await cp(snapshot, fr1.data, { recursive: true });
      await fr1.startInside(clock);

      await clock.advance(60_000);
      const after = await backUp(fr1, 'after the snapshot');
      expect(after).toMatchObject({ code: 3, sequence: 4 });
      expect(after.report.problems).toMatchObject([
        {
          kind: 'conflict',
          message: expect.stringMatching(/^FR2 holds .*, number 3 of set backup, which this server signed/),
        },
      ]);
      await clock.advance(60_000);
      expect(await backUp(fr1, 'the next one')).toMatchObject({ code: 0, sequence: 5 });
      const listed = JSON.parse((await fr1.peer(['list', '--json'])).stdout);
      expect(listed.findings).toEqual([]);
      expect((await fr2.holds('FR1')).length).toBe(5);
    }));
});
