import { constants, type Mode, type PathLike, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { type Disk, realDisk } from '../../src/node/vault/disk.js';
import { keepOwn } from '../node/vault/failing-disk.js';
import { push } from '../node/vault/fixture.js';
import { seeded } from './random.js';
import { sampleOf, vaultOfFR1 } from './world.js';

// A process of its own, killed while it writes: `writer.js DATA FROM durable|careless`. It prints a line for each backup
// that the vault acknowledged: its name and the SHA-256 of its bytes.

const connections = 3;

/** The real file system, on which nobody makes the names of a folder durable. */
const carelessDisk: Disk = {
  ...realDisk,
  async open(path: PathLike, flags?: string | number, mode?: Mode): Promise<FileHandle> {
    const handle = await realDisk.open(path, flags, mode);
    const isFolder = typeof flags === 'number' && (flags & constants.O_DIRECTORY) !== 0;
    if (isFolder) handle.sync = async () => {};
    return handle;
  },
};

async function main([data = '', from = '0', mode = 'durable']: readonly string[]): Promise<void> {
  const vault = await vaultOfFR1(data, mode === 'careless' ? { disk: carelessDisk } : {});
  const random = seeded(Number(from));
  let nth = Number(from);
  const write = async (): Promise<never> => {
    for (;;) {
      nth += 1;
      const own = random.chance(0.25);
      const { manifest, content } = sampleOf(own ? 'FR1' : 'FR2', nth, 1 + random.below(150_000));
      await (own ? keepOwn(vault, manifest, content) : push(vault, manifest, content));
      const { name, sha256 } = manifest.facts;
      writeSync(1, `${name} ${Buffer.from(sha256).toString('hex')}\n`);
    }
  };
  await Promise.all(Array.from({ length: connections }, write));
}

await main(process.argv.slice(2));
