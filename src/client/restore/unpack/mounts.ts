import { readFile } from 'node:fs/promises';

/** Where file systems are mounted. Renaming works only inside one mount, even where two show the same disk. */
export interface Mounts {
  isMountPoint(path: string): boolean;
  /** The mount point that an absolute path without links lies in. */
  of(path: string): string;
  /** A mount point strictly below a folder, or undefined. */
  below(path: string): string | undefined;
}

/** The mounts of this process, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)). */
export async function readMounts(): Promise<Mounts> {
  return parseMounts(await readFile('/proc/self/mountinfo', 'utf8'));
}

export function parseMounts(mountinfo: string): Mounts {
  const points = mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point !== undefined)
    .map((point) =>
      point.replaceAll(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8))),
    );
  const known = new Set(points);
  return {
    isMountPoint: (path) => known.has(path),
    of(path) {
      for (let above = path; above !== ''; above = above.slice(0, above.lastIndexOf('/'))) {
        if (known.has(above)) return above;
      }
      return '/';
    },
    below: (path) => points.find((point) => point.startsWith(path === '/' ? '/' : `${path}/`) && point !== path),
  };
}
