import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** A file system of its own, in a file, that can lose its power. */
export interface LoopDisk {
  readonly mountpoint: string;
  mount(): void;
  unmount(): Promise<void>;
  /** Runs `stop`, which ends whoever writes, and then drops all that the file system has not written yet, its journal too. */
  cutPower(stop: () => void): void;
  remove(): Promise<void>;
}

/** Milliseconds until an image that was unmounted is free. */
const patience = 120_000;

const megabyte = 2 ** 20;

/** mkfs.xfs makes nothing smaller than 300 MB; the file has holes. */
const sizes = { ext4: 192 * megabyte, xfs: 400 * megabyte };

/** Why no image can be mounted here: by this user, or in this container. A tool that can be installed is no such reason. */
export function noLoopDisks(): string | null {
  if (process.getuid?.() !== 0) return 'only root may mount a file system';
  const { status, error } = spawnSync('losetup', ['--find']);
  return status === 0 || error !== undefined ? null : 'there is no loop device here';
}

export async function loopDisk(kind: 'ext4' | 'xfs', folder: string): Promise<LoopDisk> {
  const image = join(folder, `${kind}.img`);
  const mountpoint = join(folder, kind);
  await rm(image, { force: true });
  await writeFile(image, '');
  await truncate(image, sizes[kind]);
  await mkdir(mountpoint, { recursive: true });
  run(`mkfs.${kind}`, kind === 'ext4' ? ['-q', '-F', image] : ['-q', '-f', image]);
  let mounted = false;
  const unmount = async (): Promise<void> => {
    if (!mounted) return;
    run('umount', [mountpoint]);
    mounted = false;
    // Where another process made itself a mount namespace meanwhile, its copy keeps the file system that was shut down.
    for (const end = performance.now() + patience; isAttached(image); await setTimeout(20)) {
      if (performance.now() > end) throw new Error(`${image} is still in use, in another mount namespace`);
    }
  };
  return {
    mountpoint,
    mount() {
      run('mount', ['-o', 'loop', image, mountpoint]);
      mounted = true;
    },
    unmount,
    cutPower(stop) {
      stop();
      run('xfs_io', ['-x', '-c', 'shutdown', mountpoint]);
    },
    remove: unmount,
  };
}

function isAttached(image: string): boolean {
  return run('losetup', ['--associated', image]).length > 0;
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
}
