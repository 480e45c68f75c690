import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { manifestOf } from '../../support/manifests.js';
import { keepOwn, type Story, suffer } from './failing-disk.js';
import { type Fault, type FaultyDisk, faultyDisk } from './faulty-disk.js';
import { backupOfFR2, damage, FR2, push, pushInParts, readAll, servers } from './fixture.js';
import { temporaryVault } from './temporary-vault.js';

const content = randomBytes(150_000);
/** What arrives while other parts of it are being written. */
const large = randomBytes(1_500_000);

const received = backupOfFR2(content);
const receivedLarge = backupOfFR2(large);
const own = manifestOf(content, servers.FR1.signer, { owner: 'FR1' });

const stories = {
  'a push': { manifest: received, content, folder: 'FR2', run: (vault) => push(vault, received, content) },
  'a push in parts': {
    manifest: received,
    content,
    folder: 'FR2',
    run: (vault) => pushInParts(vault, received, content),
  },
  'a large push': {
    manifest: receivedLarge,
    content: large,
    folder: 'FR2',
    run: (vault) => push(vault, receivedLarge, large),
  },
  'an own backup': {
    manifest: own,
    content,
    folder: 'local',
    run: (vault) => keepOwn(vault, own, content.subarray(0, 100_000), content.subarray(100_000)),
  },
} satisfies Record<string, Story>;

/** What every outcome must allow: nothing acknowledged is lost, and nothing is in the way. */
async function keptOrFailure(story: Story, fault: Fault, isBad: (call: number) => boolean): Promise<'kept' | Failure> {
  const { failure, calls: _, ...after } = await suffer(story, fault, isBad);
  expect(after).toEqual({ lost: false, damaged: false, left: [] });
  if (failure === null) return 'kept';
  expect(failure).toBeInstanceOf(Failure);
  return failure as Failure;
}

async function countCalls(story: Story): Promise<string[]> {
  const fixture = await temporaryVault();
  const faulty = faultyDisk();
  const vault = await fixture.open({ disk: faulty.disk });
  const start = faulty.calls.length;
  await story.run(vault);
  return faulty.calls.slice(start);
}

/** The call that makes the backup durable; what follows it writes only what can be derived again. */
function committed(calls: readonly string[]): number {
  return calls.lastIndexOf('handle.sync');
}

/** What a story writes, syncs and names, in order; temporaries have random names, which are left out. */
async function durableSteps(story: Story): Promise<string[]> {
  const fixture = await temporaryVault();
  const faulty = faultyDisk();
  const vault = await fixture.open({ disk: faulty.disk });
  const start = faulty.trace.length;
  await story.run(vault);
  return faulty.trace
    .slice(start)
    .filter((step) => /^(handle.writev?|handle.sync|link|unlink) /.test(step))
    .map((step) => step.replace(/[0-9a-f]{24,}\./, 'temporary.'));
}

describe('the order of a commit', () => {
  it.each([
    ['a push', []],
    ['a push in parts', ['handle.write temporary.leaves']],
  ] as const)(
    'of %s is: data and manifest synced, manifest named, data named, folder synced',
    async (story, record) => {
      const { name } = received.facts;
      const steps = await durableSteps(stories[story]);
      const from = steps.lastIndexOf('handle.write temporary.part');
      const end = steps.lastIndexOf('handle.sync FR2');
      expect(steps.slice(from, end + 1)).toEqual([
        'handle.write temporary.part',
        ...record,
        expect.stringContaining('handle.sync anemone-vault-'),
        'handle.write temporary.tmp',
        'handle.sync temporary.part',
        'handle.sync temporary.tmp',
        `link ${name}.manifest`,
        `link ${name}`,
        'unlink temporary.part',
        'unlink temporary.tmp',
        'handle.sync FR2',
      ]);
    },
  );

  it('of an own backup is the same', async () => {
    const { name } = own.facts;
    expect((await durableSteps(stories['an own backup'])).slice(0, 10)).toEqual([
      'handle.writev temporary.tmp',
      expect.stringContaining('handle.sync anemone-vault-'),
      'handle.write temporary.tmp',
      'handle.sync temporary.tmp',
      'handle.sync temporary.tmp',
      `link ${name}.manifest`,
      `link ${name}`,
      'unlink temporary.tmp',
      'unlink temporary.tmp',
      'handle.sync local',
    ]);
  });

  it.each(['link', 'handle.sync'])('leaves no name behind when the last %s of it fails', async (call) => {
    const calls = await countCalls(stories['a push']);
    const fixture = await temporaryVault();
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    const bad = faulty.calls.length + calls.lastIndexOf(call);
    faulty.fail('EIO', (number) => number === bad);
    await expect(push(vault, received, content)).rejects.toBeInstanceOf(Failure);
    expect(await fixture.files('FR2')).toEqual([]);
    expect(await fixture.files('.incoming')).toEqual([]);
  });
});

describe('the order of a start', () => {
  it('is: folders made, and then the names of all that are new made durable', async () => {
    const fixture = await temporaryVault();
    const { disk, trace } = faultyDisk();
    await fixture.open({ disk, data: join(fixture.data, 'mesh', 'data') });
    const steps = trace.filter((step) => /^(mkdir|handle.sync) /.test(step));
    expect(steps).toEqual([
      ...['data', 'mesh', 'data'].map((folder) => `mkdir ${folder}`),
      'handle.sync mesh',
      `handle.sync ${basename(fixture.data)}`,
      ...['local', '.incoming', '.quarantine', '.state', 'leaves'].map((folder) => `mkdir ${folder}`),
      'handle.sync data',
      'handle.sync local',
    ]);
  });

  it('makes names durable that a killed process may have left, before what they stand for counts', async () => {
    const fixture = await temporaryVault();
    await push(await fixture.open(), received, content);
    const { disk, trace } = faultyDisk();
    await fixture.open({ disk });
    const steps = trace.filter((step) => /^(handle.sync FR2|openSync .*)$/.test(step));
    expect(steps).toEqual(['handle.sync FR2', `openSync ${received.facts.name}.manifest`]);
  });
});

describe.each(Object.entries(stories))('%s over a failing disk', (_, story) => {
  const patience = 120_000;

  it('is kept or fails cleanly when any one call fails', { timeout: patience }, async () => {
    const calls = await countCalls(story);
    expect(calls.length).toBeGreaterThan(10);
    for (const [bad, call] of calls.entries()) {
      const outcome = await keptOrFailure(story, 'EIO', (number) => number === bad);
      // Nothing is acknowledged that was not written, synced and named.
      if (bad <= committed(calls) && ['handle.write', 'handle.sync', 'link'].includes(call)) {
        expect(outcome, `${call}, call ${bad}`).toBeInstanceOf(Failure);
      }
    }
  });

  it.each([
    ['ENOSPC', ['handle.write', 'handle.sync', 'link', 'mkdir']],
    ['EMFILE', ['open']],
  ] as const)(
    'fails cleanly, and says that trying again may help, with %s',
    { timeout: patience },
    async (code, where) => {
      const calls = await countCalls(story);
      for (const [bad, call] of calls.entries()) {
        if (bad > committed(calls) || !where.some((name) => name === call)) continue;
        const outcome = await keptOrFailure(story, code, (number) => number === bad);
        expect(outcome, `${call}, call ${bad}`).toMatchObject({
          kind: code === 'ENOSPC' ? 'no-space' : 'failed',
          retryable: true,
        });
      }
    },
  );

  it('is kept or fails cleanly when the disk, or the process, dies at any call', { timeout: patience }, async () => {
    const calls = await countCalls(story);
    for (const bad of calls.keys()) await keptOrFailure(story, 'EIO', (number) => number >= bad);
  });

  it('is kept when every write takes only half of its bytes', async () => {
    expect(await keptOrFailure(story, 'short write', () => true)).toBe('kept');
  });
});

it('says of an own backup which disk has no room for it, and what to do', async () => {
  const fixture = await temporaryVault();
  const faulty = faultyDisk();
  const vault = await fixture.open({ disk: faulty.disk });
  faulty.fail('ENOSPC', (call) => faulty.calls[call] === 'handle.writev');
  await expect(stories['an own backup'].run(vault)).rejects.toMatchObject({
    kind: 'no-space',
    message: expect.stringContaining(`a new backup in ${fixture.data}`),
    hint: expect.stringContaining('Free some disk'),
  });
});

describe('the way into quarantine, over a failing disk', () => {
  /** Which call will be, from now on, the first one after the damage was found. */
  function startOfMove({ calls, trace }: FaultyDisk): () => number {
    const from = calls.length;
    return () => {
      const call = trace.indexOf(`lstat ${received.facts.name}`, from);
      return call === -1 ? Number.POSITIVE_INFINITY : call;
    };
  }

  /** Puts a backup aside while one call of the disk fails. @returns the calls that this took */
  async function putAside(fault: Fault, bad: number): Promise<number> {
    const fixture = await temporaryVault();
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    await pushInParts(vault, received, content);
    const { name } = received.facts;
    const start = startOfMove(faulty);
    faulty.fail(fault, (call) => call === start() + bad);
    await damage(vault, name);
    const taken = faulty.calls.length - start();
    const failed = `${fault} in ${faulty.trace[start() + bad]}`;

    expect([...faulty.open], failed).toEqual([]);
    expect(vault.find(name), failed).toBeNull();
    expect(vault.damaged(FR2), failed).toEqual([name]);
    expect(vault.findings(), failed).toEqual([expect.stringContaining('are not those of its manifest')]);

    fixture.clock.jump(60_000);
    await push(vault, received, content);
    expect(vault.damaged(FR2), failed).toEqual([]);
    const reopened = await fixture.open();
    expect((await readAll(reopened, received)).equals(content), failed).toBe(true);
    expect(await fixture.files('FR2'), failed).toEqual([name, `${name}.manifest`]);
    expect(await fixture.files('.quarantine'), failed).toContainEqual(expect.stringMatching(/\.enc$/));
    return taken;
  }

  it.each(['EIO', 'EMFILE'] as const)(
    'never lets its owner go without news of it, whichever call fails with %s',
    async (fault) => {
      const calls = await putAside(fault, Number.POSITIVE_INFINITY);
      for (let bad = 0; bad < calls; bad += 1) await putAside(fault, bad);
    },
  );

  it('is gone to its end by the next start, wherever the process was killed', async () => {
    const { name } = received.facts;
    /** @returns whether the way came to its end */
    const killedAt = async (bad: number): Promise<boolean> => {
      const fixture = await temporaryVault();
      const faulty = faultyDisk();
      const vault = await fixture.open({ disk: faulty.disk });
      await push(vault, received, content);
      const start = startOfMove(faulty);
      faulty.fail('EIO', (call) => call >= start() + bad);
      await damage(vault, name);
      if ((await fixture.files('.quarantine')).length === 0) return false;
      fixture.clock.jump(60_000);
      const reopened = await fixture.open();
      const where = `killed at ${faulty.trace[start() + bad]}`;
      expect(reopened.find(name), where).toBeNull();
      expect(reopened.damaged(FR2), where).toEqual([name]);
      expect(await fixture.files('FR2'), where).toEqual([]);
      expect((await fixture.open()).damaged(FR2), where).toEqual([name]);
      return faulty.calls.length - start() <= bad;
    };
    for (let bad = 0; !(await killedAt(bad)); bad += 1);
  });
});

it('misses nothing that the rules removed, wherever the removal of what was damaged before ends', async () => {
  const { name } = received.facts;
  /** @returns whether the removal came to its end */
  const removeUntil = async (bad: number): Promise<boolean> => {
    const fixture = await temporaryVault();
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    await push(vault, received, content);
    await damage(vault, name);
    await push(vault, received, content);
    const start = faulty.calls.length;
    faulty.fail('EIO', (call) => call >= start + bad);
    await vault.remove(name).catch((thrown) => expect(thrown).toBeInstanceOf(Failure));
    const isOver = faulty.calls.length - start <= bad;
    expect((await fixture.open()).damaged(FR2), `died at ${faulty.trace[start + bad]}`).toEqual([]);
    return isOver;
  };
  for (let bad = 0; !(await removeUntil(bad)); bad += 1);
});
