import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, utimes, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { killed } from '../faults/killed.js';
import { measure } from '../faults/tally.js';
import { watchEvents } from '../support/events.js';
import { FakeClock } from '../support/fake-clock.js';
import { type MeshServer, withMesh, withRelay } from '../support/mesh.js';
import { nodeProgram, startNodeProcess } from '../support/node-process.js';
import { frameTypes, rawHttp2 } from '../support/raw-http2.js';
import type { Relay } from '../support/relay.js';

const size = 8_000_000;

/** FR1, which pushes 8 MB to FR2 in about two seconds, over a relay that counts. */
function withSlowPush(body: (fr1: MeshServer, fr2: MeshServer, relay: Relay) => Promise<void>): Promise<void> {
  return withRelay(async (fr1, fr2, relay) => {
    await fr1.edit((text) => `${text}\nlimits: { upload: 4MB }\n`);
    await writeFile(join(fr1.folder, 'config/large.bin'), randomBytes(size));
    await Promise.all([fr1.start(), fr2.start()]);
    await body(fr1, fr2, relay);
  });
}

async function isWhole(fr1: MeshServer, fr2: MeshServer): Promise<void> {
  const names = await fr1.holds('local');
  expect(await fr2.holds('FR1')).toEqual(names);
  for (const name of names) {
    const [mine, its] = [join(fr1.data, 'local', name), join(fr2.data, 'FR1', name)];
    expect((await readFile(its)).equals(await readFile(mine))).toBe(true);
  }
}

describe('a node that is stopped in the middle of a push', { timeout: 180_000 }, () => {
  it('ends with exit code 0 after SIGTERM, and goes on with the upload where it was', () =>
    withSlowPush(async (fr1, fr2, relay) => {
      const run = fr1.peer(['backup']);
      await relay.untilSent(size / 2);
      await fr1.stop();
      expect((await run).code).not.toBe(0);
      expect(await fr2.holds('FR1')).toEqual([]);
      await fr1.start();
      await fr1.events.until('backup delivered');
      await isWhole(fr1, fr2);
      expect(relay.sent()).toBeLessThan(size * 1.3);
    }));

  it('on the receiving side, lets the push come to its end after SIGTERM, and ends with exit code 0', () =>
    withSlowPush(async (fr1, fr2, relay) => {
      const run = fr1.peer(['backup']);
      await relay.untilSent(size / 2);
      await fr2.stop();
      await run;
      await isWhole(fr1, fr2);
    }));

  it('after kill -9, goes on with what was durable', () =>
    withSlowPush(async (fr1, fr2, relay) => {
      const run = fr1.peer(['backup']);
      await relay.untilSent(size / 2);
      await fr2.kill();
      expect((await run).code).toBe(3);
      await fr2.start();
      expect((await fr1.peer(['backup'])).code).toBe(0);
      await isWhole(fr1, fr2);
      expect(relay.sent()).toBeLessThan(size * 1.3);
    }));
});

/** Lets a node send itself SIGTERM as soon as it has said that it started: nobody can be faster. */
const stopAtOnce = `
  const { stderr } = process;
  const write = stderr.write.bind(stderr);
  stderr.write = (line, ...rest) => {
    const written = write(line, ...rest);
    if (String(line).includes('"node started"')) process.kill(process.pid, 'SIGTERM');
    return written;
  };
`;

describe('a node that is stopped while it ends a run that was asked for', { timeout: 60_000 }, () => {
  it('waits for that run, also when whoever asked for it has been hung up on', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const clock = new FakeClock();
      await Promise.all([fr1.startInside(clock), fr2.startInside()]);
      const run = fr1.peer(['backup']);
      await fr1.events.until('backup proven');
      const stopped = fr1.stop();
      await clock.runUntil(run);
      await stopped;
      const told = fr1.events.all.map(({ event }) => event);
      expect(told.indexOf('run finished')).toBeGreaterThan(0);
      expect(told.indexOf('node stopped')).toBeGreaterThan(told.indexOf('run finished'));
    }));
});

describe('a node that is stopped as soon as it has started', { timeout: 60_000 }, () => {
  it('ends with exit code 0, as it does later', () =>
    withMesh(['FR1'], async ([{ config }], mesh) => {
      const preload = join(mesh.root, 'stop-at-once.cjs');
      await writeFile(preload, stopAtOnce);
      const { PATH, HOME } = process.env;
      const args = ['--require', preload, nodeProgram, '--config', config];
      const node = spawn(process.execPath, args, { env: { PATH, HOME }, stdio: ['ignore', 'ignore', 'pipe'] });
      const said = text(node.stderr);
      expect(await once(node, 'close')).toEqual([0, null]);
      expect(await said).toMatch(/"node started".*"node stopping".*"node stopped"/s);
    }));
});

describe('a node whose terminal goes away', { timeout: 60_000 }, () => {
  it('reads its configuration again, and goes on', () =>
    withMesh(['FR1'], async ([fr1]) => {
      await fr1.edit((text) => `${text}\nlimits: { upload: 4MB }\n`);
      // From outside the file looks the same before and after: the node would not read it again by itself.
      const then = new Date('2026-01-01');
      await utimes(fr1.config, then, then);
      await fr1.start();
      await fr1.edit((text) => text.replace('4MB', '5MB'));
      await utimes(fr1.config, then, then);
      process.kill(fr1.pid, 'SIGHUP');
      await fr1.events.until('configuration read again', undefined, 20_000);
      await fr1.stop();
    }));
});

describe('a node that cannot listen', { timeout: 60_000 }, () => {
  it('ends, so that systemd starts it again, and has begun nothing', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await fr1.startInside();
      expect((await fr1.peer(['backup'])).code).toBe(3);
      await fr1.stop();
      await fr2.startInside();
      const [, port] = fr1.address.split(':');
      const other = createServer().listen(Number(port), '127.0.0.1');
      await once(other, 'listening');
      try {
        await expect(fr1.start()).rejects.toThrow(/ended with 2 instead of serving:.*cannot listen on/s);
        expect(await fr2.holds('FR1')).toEqual([]);
        const log = await readFile(join(fr1.folder, 'logs/config-backup.log'), 'utf8');
        expect(log).toMatch(/cannot listen on .*"event":"node not started"/);
      } finally {
        other.close();
        await once(other, 'close');
      }
    }));

  it('says what to do when its machine has not the address, as after a move', () =>
    withMesh(['FR1'], async ([fr1]) => {
      await fr1.edit((text) => text.replace(fr1.address, '192.0.2.1:7443'));
      await expect(fr1.start()).rejects.toThrow(/cannot listen on 192\.0\.2\.1:7443.*no such address.*peer add/s);
    }));
});

describe('a node that is started while another one still ends on its data folder', { timeout: 60_000 }, () => {
  it('says so and ends, so that systemd starts it again, and the one after it is found by its client', () =>
    withMesh(['FR2'], async ([fr2]) => {
      const old = await startNodeProcess(fr2.config, watchEvents());
      const socket = createConnection(join(fr2.data, '.state/node.sock'));
      const client = rawHttp2(socket, 0);
      client.call(1, '/anemone.node.v1.NodeService/RunBackup');
      client.ping();
      await client.until(frameTypes.ping, 0);
      const ended = old.end('SIGTERM');
      // It takes no more calls, and waits for this one.
      await client.until(frameTypes.goaway, 0);
      await expect(fr2.start()).rejects.toThrow(/ended with 11 instead of serving:.*still ending/s);
      socket.destroy();
      expect(await ended).toBe(0);
      await fr2.start();
      expect((await fr2.peer(['status'])).stderr).not.toContain('not running');
    }));
});

describe('kill -9', { timeout: 300_000 }, () => {
  it('of a node or a client in the middle of a run loses no acknowledged backup, shows no damaged one, leaves nothing', async () => {
    const { acknowledged, ...tally } = await measure(killed, 'short', 20261123);
    expect(tally).toMatchObject({ faults: 16, lost: 0, damaged: 0, leftovers: 0, problems: 0 });
    expect(acknowledged).toBeGreaterThan(3);
  });
});
