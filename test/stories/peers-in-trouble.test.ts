import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { kitSet } from '../../src/mesh/terms/backup-name.js';
import { FakeClock } from '../support/fake-clock.js';
import { throwawayServer } from '../support/identities.js';
import { freePort, type MeshServer, reportOf, withMesh, withRelay } from '../support/mesh.js';

/** A peer that accepts every connection and never says a word. */
async function openSilence() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Lets the time pass in which the node waits before it tries the only peer again, and not a moment more. */
async function passUntilNextTry(server: MeshServer, clock: FakeClock): Promise<void> {
  const { peers } = await server.ask((node) => node.getStatus());
  const [{ nextTryAtMs } = { nextTryAtMs: 0 }] = peers;
  expect(nextTryAtMs).toBeGreaterThan(clock.now());
  await clock.advance(nextTryAtMs - clock.now());
}

const large = (folder: string, bytes = 3_000_000) => writeFile(join(folder, 'config/large.bin'), randomBytes(bytes));

/** The kit of a server travels along as a backup of its own. */
const isKit = (backup: unknown): boolean => String(backup).startsWith(`anemone-${kitSet}-`);

describe('peers in trouble', { timeout: 180_000 }, () => {
  it('one dead, one silent, one full: the others get theirs, the report names each, and the exit code is 3', () =>
    withMesh(['FR1', 'FR2', 'US1'], async ([fr1, fr2, us1], mesh) => {
      const full = await mesh.add('FULL');
      const silence = await openSilence();
      try {
        await fr1.addPeer('FULL', full.address, full.identity);
        await full.addPeer('FR1', fr1.address, fr1.identity, { quota: '1KB' });
        await fr1.addPeer('DEAD', `127.0.0.1:${await freePort()}`, throwawayServer('DEAD').identity);
        await fr1.addPeer('SILENT', silence.address, throwawayServer('SILENT').identity);
        await Promise.all(mesh.servers.map((server) => server.startInside()));

        const { code, stdout } = await fr1.peer(['backup', '--json']);
        const { outcome, peers } = reportOf(stdout);
        expect({ code, outcome }).toEqual({ code: 3, outcome: 'partly' });
        const said = Object.fromEntries(
          peers.map((peer: { peer: string; outcome: string; owed: number; problem: { kind: string } | null }) => [
            peer.peer,
            [peer.outcome, peer.owed > 0, peer.problem?.kind ?? null],
          ]),
        );
        expect(said).toEqual({
          FR2: ['done', false, null],
          US1: ['done', false, null],
          FULL: ['failed', true, 'no-space'],
          DEAD: ['failed', true, 'unreachable'],
          SILENT: ['failed', true, expect.stringMatching(/timeout|unreachable/)],
        });
        for (const { peer, problem } of peers) if (problem !== null) expect(problem.message).toContain(peer);
        for (const peer of [fr2, us1]) expect(await peer.holds('FR1')).toEqual(await fr1.holds('local'));
        expect(await full.holds('FR1')).toEqual([]);
      } finally {
        await silence.close();
      }
    }));

  it('one that was away gets everything it missed when it returns', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const clock = new FakeClock();
      await fr1.startInside(clock);
      expect((await fr1.peer(['backup'])).code).toBe(3);
      await large(fr1.folder, 10_000);
      expect((await fr1.peer(['backup'])).code).toBe(3);

      await fr2.startInside();
      const [oldest] = await fr1.holds('local');
      await passUntilNextTry(fr1, clock);
      await fr1.events.until('backup delivered', ({ backup }) => backup === oldest);
      expect(await fr2.holds('FR1')).toEqual(await fr1.holds('local'));
      expect(await fr2.holds('FR1')).toHaveLength(2);
      expect((await fr1.peer(['backup'])).stdout).toContain('Nothing changed');
    }));

  it('one that was away gets what it missed as soon as it calls', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const clock = new FakeClock();
      await fr1.startInside(clock);
      expect((await fr1.peer(['backup'])).code).toBe(3);
      await clock.advance(10_000);
      await fr2.startInside();
      expect((await fr2.peer(['backup'])).code).toBe(0);
      await clock.advance(0);
      await fr2.events.until('backup accepted');
      await fr1.events.until('backup delivered');
    }));

  it('one that was away gets what it missed after both sides were killed', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await fr1.start();
      expect((await fr1.peer(['backup'])).code).toBe(3);
      await fr1.kill();
      await fr2.start();
      await fr2.kill();
      await fr2.start();
      await fr1.start();
      const [missed] = await fr1.holds('local');
      await fr1.events.until('backup delivered', ({ backup }) => backup === missed);
      expect(await fr2.holds('FR1')).toEqual([missed]);
    }));

  it('is sent nothing twice when only the acknowledgement was lost', () =>
    withRelay(async (fr1, fr2, relay) => {
      await large(fr1.folder);
      const clock = new FakeClock();
      await fr2.startInside();
      await fr1.startInside(clock);
      const run = fr1.peer(['backup']);
      await relay.untilSent(1_000_000);
      relay.mute();
      await fr2.events.until('backup accepted');
      relay.cut();
      expect((await run).code).toBe(3);
      expect(fr1.events.count('backup delivered')).toBe(0);

      const before = relay.sent();
      await passUntilNextTry(fr1, clock);
      await fr1.events.until('backup delivered', ({ backup }) => !isKit(backup));
      expect(relay.sent() - before).toBeLessThan(50_000);
      expect(fr2.events.count('backup accepted', ({ backup }) => !isKit(backup))).toBe(1);
      await fr1.events.until('backup delivered', ({ backup }) => isKit(backup));
      expect((await fr1.peer(['backup'])).stdout).toContain('Nothing changed');
    }));

  it('that are away for a second while one fetches from them are asked again, and it ends well', () =>
    withRelay(async (fr1, fr2, relay) => {
      await large(fr1.folder);
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      await fr1.stop();
      relay.awayAfter(1_000_000, 500);
      const { code, stderr } = await fr1.peer(['fetch', 'latest', '--peer', 'FR2', '-o', 'fetched.enc']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('the bytes that FR1 signed') });
      const [name = ''] = await fr1.holds('local');
      const [mine, fetched] = [join(fr1.data, 'local', name), join(fr1.folder, 'fetched.enc')];
      expect((await readFile(fetched)).equals(await readFile(mine))).toBe(true);
    }));
});
