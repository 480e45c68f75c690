import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Mesh, type MeshServer, makeMesh } from '../support/mesh.js';
import { anemonePeer } from '../support/program.js';

/** Gigabytes of the large file: `ANEMONE_MEMORY_GB=10` for the promise in full. */
const gigabytes = Number(process.env['ANEMONE_MEMORY_GB'] ?? 0.3);
/** What every process stays under, in MB resident. */
const bound = 150;
const time = 120_000 + gigabytes * 200_000;

let mesh: Mesh;
let fr1: MeshServer;
let fr2: MeshServer;
let restored: string;

beforeAll(async () => {
  mesh = await makeMesh('FR1', 'FR2');
  fr1 = mesh.server('FR1');
  fr2 = mesh.server('FR2');
  restored = join(mesh.root, 'restored');
  const { bavail, bsize } = await statfs(mesh.root);
  if (bavail * bsize < gigabytes * 5e9) {
    throw new Error(`this test needs ${gigabytes * 5} GB in ${mesh.root}: set TMPDIR to a larger disk`);
  }
  await writeLarge(join(fr1.folder, 'config/large.bin'), gigabytes * 1e9);
  await Promise.all([fr1.start(), fr2.start()]);
}, time);
afterAll(() => mesh.close(), 60_000);

/** Bytes that gzip cannot make smaller: its window is far shorter than the piece that repeats. */
async function writeLarge(path: string, size: number): Promise<void> {
  const piece = randomBytes(16_000_000);
  const file = await open(path, 'w');
  for (let written = 0; written < size; written += piece.length) {
    await file.write(piece, 0, Math.min(piece.length, size - written));
  }
  await file.close();
}

/** The most memory that a process has had resident, in MB, from `/proc/<pid>/status`. */
async function highWater(status: string): Promise<number> {
  const [, kilobytes = 'NaN'] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(status, 'utf8')) ?? [];
  return Math.round(Number(kilobytes) / 1000);
}

/** Runs the client, which leaves a copy of its status when it ends. */
async function client(what: string, args: readonly string[], cwd: string, input = ''): Promise<number> {
  const copy = join(mesh.root, 'status');
  const script = `import{readFileSync as r,writeFileSync as w}from'node:fs';process.on('exit',()=>w('${copy}',r('/proc/self/status')))`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` };
  const { code, stderr } = await anemonePeer(args, { cwd, env, input });
  expect({ what, code, stderr }).toMatchObject({ what, code: 0 });
  return highWater(copy);
}

const nodes = async () => ({
  FR1: await highWater(`/proc/${fr1.pid}/status`),
  FR2: await highWater(`/proc/${fr2.pid}/status`),
});

function tell(what: string, figures: Readonly<Record<string, number>>): void {
  const told = Object.entries(figures).map(([who, megabytes]) => `${who} ${megabytes} MB`);
  process.stdout.write(`memory, ${gigabytes} GB, ${what}: ${told.join(', ')}\n`);
  for (const [who, megabytes] of Object.entries(figures)) {
    expect(megabytes, `${who} while ${what}, in MB`).toBeLessThan(bound);
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

describe(`a backup of ${gigabytes} GB stays under ${bound} MB resident`, () => {
  it(
    'while it is sealed and pushed, in the node that sends, the node that takes and the client',
    async () => {
      const own = await client('backup', ['backup'], fr1.folder);
      tell('sealed and pushed', { ...(await nodes()), client: own });
    },
    time,
  );

  it(
    'while it is fetched',
    async () => {
      const file = join(mesh.root, 'fetched.enc');
      const own = await client('fetch', ['fetch', 'latest', '--peer', 'FR2', '-o', file], fr1.folder);
      await rm(file);
      tell('fetched', { ...(await nodes()), client: own });
    },
    time,
  );

  it(
    'while it is restored',
    async () => {
      const args = ['restore', 'latest', '--target', restored, '--yes', '--key-stdin'];
      const own = await client('restore', args, fr1.folder, fr1.recoveryKey);
      expect(await sha256(join(restored, 'config/large.bin'))).toBe(await sha256(join(fr1.folder, 'config/large.bin')));
      tell('restored', { ...(await nodes()), client: own });
    },
    time,
  );

  it(
    'while a sealed file is pushed',
    async () => {
      const [name = ''] = await fr1.holds('local');
      const own = await client('push', ['push', join(fr1.data, 'local', name), '--set', 'again'], fr1.folder);
      tell('pushed', { ...(await nodes()), client: own });
    },
    time,
  );
});
