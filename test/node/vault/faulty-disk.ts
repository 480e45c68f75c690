import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Disk, realDisk } from '../../../src/node/vault/disk.js';

/** An error code, or a write that takes only some of its bytes. */
export type Fault = 'EIO' | 'ENODATA' | 'EREMOTEIO' | 'EACCES' | 'ENOSPC' | 'EDQUOT' | 'EMFILE' | 'short write';

/** A call that waits for the test. */
export interface HeldCall {
  /** Resolves when the call has been made, and waits. */
  readonly reached: Promise<void>;
  /** Lets it go on, or fail. */
  letGo(fault?: Fault): void;
}

/** The real file system, with calls that are counted, made to wait and made to fail. */
export interface FaultyDisk {
  readonly disk: Disk;
  /** The calls so far, such as `link` and `handle.sync`. */
  readonly calls: readonly string[];
  /** The same calls with the last part of their path, of the new one where there are two: `link x.enc`. */
  readonly trace: readonly string[];
  /** Files that are open now. */
  readonly open: ReadonlySet<string>;
  /** Lets the calls with these numbers fail, counted from 0. */
  fail(fault: Fault, isBad: (call: number) => boolean): void;
  /** Lets the next call wait whose line in the trace is like this. */
  hold(step: RegExp): HeldCall;
}

export function faultyDisk(): FaultyDisk {
  const calls: string[] = [];
  const open = new Set<string>();
  const trace: string[] = [];
  let fault: Fault = 'EIO';
  let isBad = (_call: number): boolean => false;
  let holds: { readonly step: RegExp; wait(): Promise<void> }[] = [];

  function strike(name: string, path: string): boolean {
    const call = calls.push(name) - 1;
    trace.push(`${name} ${basename(path)}`);
    if (!isBad(call)) return false;
    if (fault === 'short write') return true;
    throw madeToFail(fault, name);
  }

  /** Where a call has to wait: until it may go on; else null. */
  function wait(name: string, path: string): Promise<void> | null {
    const held = holds.find(({ step }) => step.test(`${name} ${basename(path)}`));
    holds = holds.filter((other) => other !== held);
    return held?.wait() ?? null;
  }

  function hold(step: RegExp): HeldCall {
    let made = (): void => {};
    let letGo = (_fault?: Fault): void => {};
    const reached = new Promise<void>((resolve) => {
      made = resolve;
    });
    const over = new Promise<void>((resolve, reject) => {
      letGo = (fault) => (fault === undefined ? resolve() : reject(madeToFail(fault, String(step))));
    });
    const wait = (): Promise<void> => {
      made();
      return over;
    };
    holds.push({ step, wait });
    return { reached, letGo };
  }

  const handleOf = (handle: FileHandle, path: string, label: string): FileHandle =>
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
          const short = strike(`handle.${String(key)}`, path);
          await wait(`handle.${String(key)}`, path);
          if (short && key === 'write') args[2] = Math.max(1, Math.floor(Number(args[2]) / 2));
          if (short && key === 'writev') args[0] = startOf(args[0] as readonly Uint8Array[]);
          return value.apply(target, args);
        };
      },
    });

  const disk = new Proxy(realDisk, {
    get(target, key) {
      const value = Reflect.get(target, key) as (...args: unknown[]) => unknown;
      if (String(key).endsWith('Sync')) {
        return (...args: unknown[]) => {
          strike(String(key), String(args[0]));
          return value.apply(target, args);
        };
      }
      return async (...args: unknown[]) => {
        const path = String(key === 'link' || key === 'rename' ? args[1] : args[0]);
        strike(String(key), path);
        await wait(String(key), path);
        const result = await value.apply(target, args);
        if (key !== 'open') return result;
        const label = `${path} (${calls.length})`;
        open.add(label);
        return handleOf(result as FileHandle, path, label);
      };
    },
  });

  return {
    disk,
    calls,
    trace,
    open,
    hold,
    fail(next, bad) {
      fault = next;
      isBad = bad;
    },
  };
}

/** What a disk may take of several pieces: half of the first one. */
function startOf([first]: readonly Uint8Array[]): readonly Uint8Array[] {
  return first === undefined ? [] : [first.subarray(0, Math.max(1, Math.floor(first.length / 2)))];
}

function madeToFail(fault: Fault, name: string): Error {
  return Object.assign(new Error(`${fault}: made to fail, ${name}`), { code: fault, syscall: name });
}
