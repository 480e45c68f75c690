import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { restore } from '../../../src/client/commands/restore.js';
import type { RestoreOptions } from '../../../src/client/restore/options.js';
import { openChain } from '../../../src/client/restore/unpack/folder-chain.js';
import { formatAddress } from '../../../src/mesh/terms/address.js';
import { type BareMachine, entryOf, makeBareMachine, pinned } from '../../support/bare-machine.js';
import { commandTrial } from '../../support/command.js';
import { FakeClock } from '../../support/fake-clock.js';
import { garbage } from '../../support/hostile-peer.js';
import { hashesOf, manifestOf } from '../../support/manifests.js';
import { pushTo, sealTree } from '../../support/restorable.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let machine: BareMachine;
beforeEach(async () => {
  machine = await makeBareMachine();
});

describe('a person under stress', () => {
  it('learns that no peer can be reached before a key has to be typed', async () => {
    const typing = { stdin: '', answers: [] };
    const nobody = machine.restore({ peer: ['127.0.0.1:1'], yes: false }, typing);
    await expect(nobody).rejects.toMatchObject({ kind: 'unreachable', hint: expect.stringContaining('VPN') });
    const several = machine.restore({ peer: ['127.0.0.1:1', '127.0.0.1:2'], yes: false }, typing);
    await expect(several).rejects.toMatchObject({ message: expect.stringMatching(/127.0.0.1:1.*127.0.0.1:2/s) });
  });

  it.each([
    ['leaves at once', 'interrupted'],
    ['waits as long as --timeout says', 'unreachable'],
  ])('%s while a peer that takes the call says nothing, and sees whom is waited for', async (_what, kind) => {
    const [stop, clock] = [new AbortController(), new FakeClock()];
    const silent = createServer(() => (kind === 'interrupted' ? stop.abort() : clock.advance(2000)));
    await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening));
    const where = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const waiting = { cwd: machine.folder, signal: stop.signal, clock, timeout: 2, answers: [] };
    const { context, said } = commandTrial(waiting);
    try {
      const options = { server: 'FR1', peer: [where], takeover: true };
      await expect(restore(context, 'latest', options)).rejects.toMatchObject({ kind });
      expect(said.stderr).toContain(`Asking ${where} who it is`);
    } finally {
      silent.close();
    }
  });

  it('types no key for a peer that is not confirmed', async () => {
    const { fr2 } = machine;
    const end = machine.restore({ peer: [formatAddress(fr2.address)], yes: false }, { stdin: '', answers: [false] });
    await expect(end).rejects.toMatchObject({ kind: 'untrusted', message: expect.stringContaining('not confirmed') });
  });

  it('learns that a moment is none before anything is asked', async () => {
    const end = machine.restore({ at: 'last tuesday', peer: ['127.0.0.1:1'] });
    await expect(end).rejects.toMatchObject({ kind: 'usage' });
  });

  it.each([{ from: 'old.enc' }, {}])(
    'is told that no kit is read where its VPN is to be written, with %j',
    async (named) => {
      const { context } = commandTrial({ cwd: machine.folder });
      const end = restore(context, undefined, { ...named, vpnDir: 'vpn', yes: true, takeover: true });
      await expect(end).rejects.toMatchObject({ kind: 'usage', message: expect.stringContaining('--vpn-dir') });
    },
  );

  it('is told the oldest backup when the moment lies before it', async () => {
    const { fr2, fr1, older, newer } = machine;
    await pushTo(fr2, fr1, older);
    await pushTo(fr2, fr1, newer);
    await expect(machine.restore({ at: '2026-11-01' })).rejects.toMatchObject({
      kind: 'not-found',
      hint: expect.stringContaining(`${older.manifest.facts.name}, from 2026-11-20`),
    });
  });

  it('is told which sets are left, and how the node is started from here', async () => {
    const { fr2, fr1, newer } = machine;
    await pushTo(fr2, fr1, newer);
    await pushTo(fr2, fr1, await sealTree(fr1, [{ name: 'db/dump', body: 'rows' }], { set: 'db' }));
    const { said, code } = await machine.restore({ set: 'backup' }, { env: { npm_command: 'exec' } });
    expect(code).toBe(0);
    expect(said.stderr).toContain('Other sets can be restored too: db.');
    expect(said.stderr).toContain(`npx anemone-node --config ${join(machine.folder, 'config/config.yaml')}`);
    expect(said.stderr).toContain('Taken by FR2, US1');
  });

  it('reads that nothing was restored when it stops at a question', async () => {
    const { fr2, fr1, newer } = machine;
    await pushTo(fr2, fr1, newer);
    await expect(machine.restore({ yes: false }, { answers: [] })).rejects.toMatchObject({
      kind: 'interrupted',
      message: 'nothing was restored',
    });
  });
});

it('is told before anything is fetched that a disk has not the room for it, and what to do', async () => {
  const { fr1, newer } = machine;
  const asked: string[] = [];
  const manifest = manifestOf(newer.bytes, fr1.server.signer, { size: 2 ** 50 });
  const peer = await machine.addLiar((server) => ({
    list: () => [entryOf({ ...newer, manifest }, server)],
    fetch(name) {
      asked.push(name);
      return [];
    },
  }));
  await expect(machine.restore({ peer: [peer] })).rejects.toMatchObject({
    kind: 'failed',
    message: expect.stringMatching(
      /^there is not enough room: anemone-backup-.*\.enc needs about .* in \/.* were free$/,
    ),
    hint: expect.stringMatching(/--target.*--include/),
  });
  await expect(machine.restore({ peer: [peer], dryRun: true })).rejects.toMatchObject({
    hint: expect.stringContaining('TMPDIR'),
  });
  expect([asked, await machine.left()]).toEqual([[], []]);
});

describe('what an earlier restore has left unpacked', () => {
  it('goes before anybody looks how much room there is', async () => {
    const { fr1, newer, folder } = machine;
    await mkdir(join(folder, '.anemone-restore-20200101-000000/config'), { recursive: true });
    const manifest = manifestOf(newer.bytes, fr1.server.signer, { size: 2 ** 50 });
    const peer = await machine.addLiar((server) => ({
      list: () => [entryOf({ ...newer, manifest }, server)],
      fetch: () => [],
    }));
    await expect(machine.restore({ peer: [peer] })).rejects.toMatchObject({
      message: expect.stringContaining('there is not enough room'),
    });
    expect(await machine.left()).toEqual([]);
  });

  it('and cannot be removed is named, and keeps no other one out', async () => {
    const { fr2, fr1, newer, folder } = machine;
    await pushTo(fr2, fr1, newer);
    const stale = join(folder, '.anemone-restore-20200101-000000');
    await mkdir(stale);
    // Folders in folders, so deep that no path leads there any more.
    const chain = await openChain(stale);
    await chain.enter(Array.from({ length: 20 }, () => 'd'.repeat(250)));
    await chain.close();
    try {
      const { code, said } = await machine.restore({ takeover: false });
      expect([code, said.stderr]).toEqual([0, expect.stringContaining(`warning: ${stale} cannot be removed`)]);
      expect(await machine.left()).toEqual([basename(stale), 'config']);
    } finally {
      execFileSync('rm', ['-rf', stale]);
    }
  });
});

it('is told that a backup has a longer path than the target has room for, and what does: nothing stays there', async () => {
  const { fr2, fr1, newer } = machine;
  const path = 'd'.repeat(250).concat('/').repeat(16).concat('file');
  await pushTo(fr2, fr1, await sealTree(fr1, [{ pax: { path } }], { set: 'deep' }));
  await pushTo(fr2, fr1, newer);
  const target = join(machine.folder, 'target'.repeat(30));
  await expect(machine.restore({ set: 'deep', target, takeover: false })).rejects.toMatchObject({
    kind: 'invalid',
    message: expect.stringMatching(
      /member "ddd.*": its path is longer than \d+ bytes, so it would be out of reach in .*target\/\.anemone-restore-/,
    ),
    hint: expect.stringMatching(/--target whose own path is shorter/),
  });
  expect(await machine.left()).toEqual([]);
  expect((await machine.restore({ set: 'backup', target, takeover: false })).code).toBe(0);
});

describe('a large backup that was fetched and not put in place', () => {
  /** Two peers hold FR1's set `media`: 17 MiB. One of them counts what it is asked for. */
  async function largeSet() {
    const { fr1 } = machine;
    const body = garbage(17 * 2 ** 20);
    const large = await sealTree(fr1, [{ name: 'large', body }], { set: 'media' });
    const asked: number[] = [];
    const seen = new Set<string>();
    const peer = await machine.addLiar((server) => ({
      list: () => [entryOf(large, server)],
      fetch: (_name, offset, length) => {
        asked.push(offset);
        for (const name of readdirSync(machine.folder)) seen.add(name);
        return chunksOf(large.bytes.subarray(offset, length === 0 ? undefined : offset + length));
      },
      leaves: () => [hashesOf(large.bytes)],
    }));
    const restore = (answer: boolean, options: Partial<RestoreOptions> = {}) =>
      machine.restore({ peer: [peer], set: 'media', yes: false, takeover: false, ...options }, { answers: [answer] });
    return { body, asked, seen, restore };
  }

  it('stays, by its path, and the next restore fetches nothing again', async () => {
    const { body, asked, restore } = await largeSet();
    await expect(restore(false)).rejects.toMatchObject({ kind: 'interrupted' });
    const [part = ''] = await machine.left();
    expect(part).toMatch(/^\.anemone-restore-anemone-media-FR1-.*\.part$/);
    asked.length = 0;
    expect((await restore(true)).code).toBe(0);
    expect([asked, await machine.left()]).toEqual([[], ['large']]);
    expect((await readFile(join(machine.folder, 'large'))).equals(body)).toBe(true);
  });

  it('by a dry run is gone afterwards, and never was in the target, which need not be there', async () => {
    const { seen, restore } = await largeSet();
    const temporary = await temporaryFolder();
    vi.stubEnv('TMPDIR', temporary);
    try {
      const { code, said } = await restore(true, { dryRun: true, target: join(machine.folder, 'not/there') });
      expect([code, said.stdout, said.stderr]).toEqual([0, expect.stringContaining('nothing was written'), '']);
      expect([[...seen], await machine.left(), await readdir(temporary)]).toEqual([[], [], []]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('is removed by a finished restore of the same set, whichever backup that brought; others stay', async () => {
    const { fr2, fr1, newer } = machine;
    await pushTo(fr2, fr1, newer);
    const partOf = (set: string, owner = 'FR1') =>
      `.anemone-restore-anemone-${set}-${owner}-20261119-010000.enc.0123456789abcdef.part`;
    const names = [partOf('backup'), partOf('media'), partOf('backup', 'FR2')];
    for (const name of names) await writeFile(join(machine.folder, name), 'sealed');
    expect((await machine.restore({ dryRun: true, peer: [pinned(fr2)] })).code).toBe(0);
    expect(await machine.left()).toEqual([...names].sort());
    expect((await machine.restore({ peer: [pinned(fr2)], takeover: false })).code).toBe(0);
    expect(await machine.left()).toEqual([...names.slice(1), 'config'].sort());
  });
});

function* chunksOf(bytes: Buffer): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 2 ** 20) yield bytes.subarray(at, at + 2 ** 20);
}
