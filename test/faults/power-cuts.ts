import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Manifest } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { Vault } from '../../src/node/vault/vault.js';
import { loopDisk, noLoopDisks } from './loop-disk.js';
import { type Random, seeded } from './random.js';
import type { Kind, Recorder } from './tally.js';
import { isIntact, vaultOfFR1 } from './world.js';

/** Power cuts on one image, before a new one is made. */
const atOnce = 25;

const fileSystems = ['ext4', 'xfs'] as const;

/**
 * The vault's own code writes on a real file system, whose disk goes away in the middle: the writer is killed, the file
 * system shut down without writing its journal, and mounted again.
 */
export const powerCuts: Kind = {
  name: 'power-cuts',
  title: 'power cut on ext4 and xfs',
  missing: noLoopDisks,
  run: (recorder, scale) => cuts(recorder, scale === 'long' ? 500 : 12, 'durable'),
};

/** The same without the fsync of folders. It has to lose backups, or the kind above proves nothing. */
export const withoutFolderSync: Kind = {
  name: 'without-folder-sync',
  title: 'control: no fsync of the folder',
  control: true,
  missing: noLoopDisks,
  run: (recorder, scale) => cuts(recorder, scale === 'long' ? 100 : 8, 'careless'),
};

async function cuts(recorder: Recorder, count: number, mode: 'durable' | 'careless'): Promise<void> {
  const tools = ['xfs_io', 'mkfs.xfs', 'mkfs.ext4', 'losetup'];
  const lacking = tools.filter((name) => spawnSync(name, ['-V']).error !== undefined);
  if (lacking.length > 0) throw new Error(`there is no ${lacking.join(', ')}: apt install xfsprogs e2fsprogs mount`);
  const random = seeded(recorder.seed);
  const folder = await mkdtemp(join(tmpdir(), 'anemone-faults-'));
  try {
    for (let disk = 0; recorder.faults < count; disk += 1) {
      const kind = fileSystems[disk % fileSystems.length] ?? 'ext4';
      const some = Math.min(atOnce, Math.ceil(count / fileSystems.length), count - recorder.faults);
      await oneDisk(kind, folder, some, { random, recorder, mode });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Options {
  readonly random: Random;
  readonly recorder: Recorder;
  readonly mode: 'durable' | 'careless';
}

async function oneDisk(
  kind: (typeof fileSystems)[number],
  folder: string,
  count: number,
  { random, recorder, mode }: Options,
): Promise<void> {
  const disk = await loopDisk(kind, folder);
  const data = join(disk.mountpoint, 'data');
  const acknowledged = new Map<string, string>();
  try {
    disk.mount();
    await mkdir(data);
    for (let cut = 0; cut < count; cut += 1) {
      const from = acknowledged.size * 4 + cut * 1000;
      const writer = startWriter(data, from, mode);
      await writer.acknowledged(1 + random.below(40), acknowledged);
      disk.cutPower(() => writer.kill());
      await writer.over;
      await disk.unmount();
      disk.mount();
      recorder.fault();
      await check(await vaultOfFR1(data), acknowledged, recorder, kind);
      for (const file of await readdir(join(data, '.incoming'))) {
        if (file.endsWith('.tmp')) recorder.leftover(`${kind}: ${file}`);
      }
    }
    recorder.acknowledged(acknowledged.size);
  } finally {
    await disk.remove();
  }
}

/** @param acknowledged SHA-256 by file name; what is lost is taken out, for it is lost once */
async function check(vault: Vault, acknowledged: Map<string, string>, recorder: Recorder, kind: string): Promise<void> {
  for (const [name, sha256] of acknowledged) {
    const entry = vault.find(name);
    if (entry !== null && (await isIntact(vault, name, { size: entry.size, sha256: Buffer.from(sha256, 'hex') })))
      continue;
    recorder.lost(`${kind}: ${name} ${entry === null ? 'is not there' : 'is damaged'}`);
    acknowledged.delete(name);
  }
  for (const { name, size } of vault.list()) {
    const sha256 = acknowledged.get(name);
    if (sha256 !== undefined) continue;
    // One that was not acknowledged may be there, if it is whole.
    const { manifest } = await vault.held(name);
    const facts = Manifest.decode(manifest?.manifest ?? new Uint8Array());
    if (!(await isIntact(vault, name, { size, sha256: facts.sha256 }))) recorder.damaged(`${kind}: ${name} is listed`);
  }
}

/** A process that keeps backups one after the other, and tells of each that was acknowledged. */
function startWriter(data: string, from: number, mode: string) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer.js'), data, String(from), mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const over = once(child, 'close');
  const lines = createInterface({ input: child.stdout });
  return {
    over,
    kill: () => void child.kill('SIGKILL'),
    /** Resolves in the moment of the nth acknowledgement; those that come until the end are noted too. */
    acknowledged: (count: number, into: Map<string, string>): Promise<void> =>
      new Promise((resolve, reject) => {
        let left = count;
        lines.on('line', (line) => {
          const [name = '', sha256 = ''] = line.split(' ');
          if (sha256.length === 64) into.set(name, sha256);
          left -= 1;
          if (left === 0) resolve();
        });
        lines.once('close', () => reject(new Error('the writer ended by itself')));
      }),
  };
}
