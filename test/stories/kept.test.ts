import { randomBytes } from 'node:crypto';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Outcome, type RunReport } from '../../src/mesh/generated/anemone/node/v1/node.js';
import type { LogFields } from '../../src/mesh/terms/log.js';
import { FakeClock } from '../support/fake-clock.js';
import { flipBit } from '../support/flip-bit.js';
import { type MeshServer, withMesh } from '../support/mesh.js';

const day = 86_400_000;

const backup = (server: MeshServer) => server.backUp({ set: 'backup', force: false });
const statusOf = (server: MeshServer) => server.ask((node) => node.getStatus());

/** Two servers with a backup of 3 MB of FR1 on both; their clocks stand still. */
async function withBackup(
  body: (story: { fr1: MeshServer; fr2: MeshServer; clock: FakeClock; name: string }) => Promise<void>,
): Promise<void> {
  await withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
    const clock = new FakeClock();
    await writeFile(join(fr1.folder, 'config/large.bin'), randomBytes(3_000_000));
    await fr1.startInside(clock);
    await fr2.startInside(clock);
    const run = await backup(fr1);
    expect(run.outcome).toBe(Outcome.OUTCOME_DONE);
    await body({ fr1, fr2, clock, name: run.sets[0]?.backup ?? '' });
  });
}

describe('what was acknowledged', { timeout: 60_000 }, () => {
  it('is proven in the very run that delivers it', () =>
    withBackup(async ({ fr1, clock, name }) => {
      const { lastRun, peers } = await statusOf(fr1);
      const { bytes, ...audit } = lastRun?.audit?.peers[0] ?? { bytes: 0 };
      expect(audit).toEqual({ peer: 'FR2', proven: [name], lost: [], gone: [], problem: undefined });
      expect(bytes).toBeGreaterThan(3_000_000);
      expect(peers[0]?.provenAtMs).toBe(clock.now());
    }));

  it('is what its holder knows the size of a night of its owner by', () =>
    withBackup(async ({ fr1, fr2, clock }) => {
      const stored = async () => (await statusOf(fr2)).peers.find(({ name }) => name === 'FR1');
      const { night = 0, used = 0 } = (await stored()) ?? {};
      expect(night).toBeGreaterThan(3_000_000);
      expect(night).toBeLessThanOrEqual(used);
      clock.jump(day);
      await writeFile(join(fr1.folder, 'config/large.bin'), 'small now');
      await backup(fr1);
      expect(await stored()).toMatchObject({ night: expect.toSatisfy((size) => size < 100_000) });
    }));

  it.each([
    ['a bit of it flips', (path: string) => flipBit(path, 1_234_567)],
    ['its end is cut off', (path: string) => truncate(path, 1_000_000)],
    ['its file is removed', (path: string) => rm(path)],
  ])('and is lost because %s, is named, put aside, and delivered again', (_, damage) =>
    withBackup(async ({ fr1, fr2, clock, name }) => {
      const path = join(fr2.data, 'FR1', name);
      const whole = await readFile(path);
      await damage(path);

      const run = await backup(fr1);
      expect(run.outcome).toBe(Outcome.OUTCOME_PARTLY);
      expect(run.audit?.peers[0]).toMatchObject({ peer: 'FR2', lost: [name] });
      expect(run.problems.map(({ message }) => message)).toEqual([expect.stringContaining(`FR2 has lost ${name}`)]);
      fr1.events.clear();
      await clock.advance(10_000);
      await fr1.events.until('backup delivered', ({ backup: delivered }) => delivered === name);
      expect((await readFile(path)).equals(whole)).toBe(true);

      const next = await backup(fr1);
      expect(next.audit?.peers[0]).toMatchObject({ proven: [name], lost: [] });
      expect(next.problems).toEqual([]);
    }),
  );

  it('is not taken for lost by a peer when its manifest is damaged here, and is fetched back', () =>
    withBackup(async ({ fr1, name }) => {
      const path = join(fr1.data, 'local', `${name}.manifest`);
      const whole = await readFile(path);
      await flipBit(path, 100);
      const run = await backup(fr1);
      expect(run.audit?.peers[0]).toMatchObject({ peer: 'FR2', lost: [], gone: [] });
      expect(run.problems.map(({ message }) => message)).toEqual([expect.stringContaining(`beside ${name}`)]);
      expect(run.audit?.scrub?.recovered).toEqual([name]);
      expect((await readFile(path)).equals(whole)).toBe(true);
      expect((await backup(fr1)).problems).toEqual([]);
    }));

  it('keeps its number when it is gone here and the node starts without it', () =>
    withBackup(async ({ fr1, clock, name }) => {
      await fr1.stop();
      await rm(join(fr1.data, 'local', name));
      await fr1.startInside(clock);
      clock.jump(day);
      await writeFile(join(fr1.folder, 'config/new'), 'new');
      expect((await backup(fr1)).sets[0]).toMatchObject({ outcome: Outcome.OUTCOME_DONE, sequence: 2 });

      // What was written down about it is no reason to make no backup, as long as there is a newer one.
      await writeFile(join(fr1.data, '.state/chain/backup.manifest'), 'damaged');
      clock.jump(day);
      await writeFile(join(fr1.folder, 'config/new'), 'newer');
      expect((await backup(fr1)).sets[0]).toMatchObject({ outcome: Outcome.OUTCOME_DONE, sequence: 3 });
    }));

  it('and is found damaged by its holder at night, is told to the owner at its next call, and delivered again', () =>
    withBackup(async ({ fr1, fr2, clock, name }) => {
      const path = join(fr2.data, 'FR1', name);
      const whole = await readFile(path);
      await flipBit(path, 2_000_000);
      clock.jump(2 * day);
      const scrubbed = await backup(fr2);
      expect(scrubbed.audit?.scrub).toMatchObject({ damaged: [name] });
      expect(scrubbed.problems.map(({ message }) => message)).toContainEqual(expect.stringContaining(name));
      expect((await statusOf(fr2)).findings).toEqual([expect.stringContaining('quarantine')]);

      const run = await backup(fr1);
      expect(run.audit?.peers[0]).toMatchObject({ lost: [name], proven: [name] });
      expect(run.peers[0]).toMatchObject({ delivered: [name], owed: 0 });
      expect((await readFile(path)).equals(whole)).toBe(true);
      expect((await backup(fr1)).problems).toEqual([]);
    }));

  it('and is damaged with a peer when its owner is gone and disabled, is healed by another peer that holds it', () =>
    withMesh(['FR1', 'FR2', 'US1'], async ([fr1, fr2, us1], mesh) => {
      // After their node keys were made: before, the nodes would doubt the clock, and catch up a night.
      const clock = new FakeClock('2028-01-02T01:00:00Z');
      await writeFile(join(fr1.folder, 'config/large.bin'), randomBytes(3_000_000));
      await fr2.edit((text) => text.replace('schedule: never', 'schedule: "0 2 * * *"\n  jitter: 0'));
      for (const server of mesh.servers) await server.startInside(clock);
      const name = (await backup(fr1)).sets[0]?.backup ?? '';
      await fr1.stop();
      await fr2.edit((text) => text.replace('- name: FR1', '- name: FR1\n    enabled: false'));
      await fr2.ask((node) => node.reload());
      const path = join(fr2.data, 'FR1', name);
      const whole = await readFile(path);
      await flipBit(path, 2_000_000);

      // The clock stands still while a night is told: it would pass the time in which its calls have to be answered.
      let untilTwo = day / 24;
      const night = async (): Promise<RunReport | undefined> => {
        const before = fr2.events.count('run finished');
        await clock.advance(untilTwo);
        untilTwo = day;
        await fr2.events.until('run finished', () => fr2.events.count('run finished') > before);
        return (await statusOf(fr2)).lastRun;
      };
      let run = await night();
      for (let nights = 1; nights < 30 && run?.audit?.scrub?.damaged.length !== 1; nights += 1) run = await night();
      expect(run?.audit?.scrub).toMatchObject({ damaged: [name], recovered: [] });
      expect(await fr2.holds('FR1')).toEqual([]);

      await night();
      run = await night();
      expect(run?.audit?.scrub).toMatchObject({ recovered: [name] });
      expect((await readFile(path)).equals(whole)).toBe(true);
      const fetches = ({ method }: LogFields): boolean => String(method).endsWith('/FetchBackup');
      expect(us1.events.count('call refused', fetches)).toBe(0);
    }));

  it('and is damaged at home, is fetched back from a peer', () =>
    withBackup(async ({ fr1, clock, name }) => {
      const path = join(fr1.data, 'local', name);
      const whole = await readFile(path);
      await flipBit(path, 2_000_000);
      clock.jump(2 * day);
      const run = await backup(fr1);
      expect(run.audit?.scrub).toMatchObject({ damaged: [name], recovered: [name] });
      expect((await readFile(path)).equals(whole)).toBe(true);
      expect((await backup(fr1)).problems).toEqual([]);
    }));
});
