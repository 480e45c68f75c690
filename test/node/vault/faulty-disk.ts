import type { FileHandle } from 'node:fs/promises';
import { type Disk, realDisk } from '../../../src/node/vault/disk.js';

/** An error code, or a write that takes only some of its bytes. */
export type Fault = 'EIO' | 'ENOSPC' | 'EMFILE' | 'short write';

/** The real file system, with calls that are counted and made to fail. */
export interface FaultyDisk {
  readonly disk: Disk;
  /** The calls so far, such as `link` and `handle.sync`. */
  readonly calls: readonly string[];
  /** Files that are open now. */
  readonly open: ReadonlySet<string>;
  /** Lets the calls with these numbers fail, counted from 0. */
  fail(fault: Fault, isBad: (call: number) => boolean): void;
  /** Waits, in the calls of this name, until the promise that it returns is resolved. */
  pause(name: string, until: () => Promise<void>): void;
}

export function faultyDisk(): FaultyDisk {
  const calls: string[] = [];
  const open = new Set<string>();
  const pauses = new Map<string, () => Promise<void>>();
  let fault: Fault = 'EIO';
  let isBad = (_call: number): boolean => false;

  async function strike(name: string): Promise<boolean> {
    const call = calls.push(name) - 1;
    await pauses.get(name)?.();
    if (!isBad(call)) return false;
    if (fault === 'short write') return true;
    throw Object.assign(new Error(`${fault}: made to fail, ${name}`), { code: fault });
  }

  const handleOf = (handle: FileHandle, label: string): FileHandle =>
    new Proxy(handle, {
      get(target, key) {
        const value = Reflect.get(target, key) as unknown;
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (key === 'close') {
            // The file is closed even when the disk says that it failed.
            await target.close();
            open.delete(label);
          }
          const short = await strike(`handle.${String(key)}`);
          if (short && key === 'write') args[2] = Math.max(1, Math.floor(Number(args[2]) / 2));
          return value.apply(target, args);
        };
      },
    });

  const disk = new Proxy(realDisk, {
    get(target, key) {
      const value = Reflect.get(target, key) as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        await strike(String(key));
        const result = await value.apply(target, args);
        if (key !== 'open') return result;
        const label = `${String(args[0])} (${calls.length})`;
        open.add(label);
        return handleOf(result as FileHandle, label);
      };
    },
  });

  return {
    disk,
    calls,
    open,
    fail(next, bad) {
      fault = next;
      isBad = bad;
    },
    pause: (name, until) => void pauses.set(name, until),
  };
}
