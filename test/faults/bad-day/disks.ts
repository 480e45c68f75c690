import { execFileSync } from 'node:child_process';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Trouble } from './victim.js';

/** `limits.minimum_free` of the node. */
export const minimumFree = 8 * 2 ** 20;

/** Why the vault cannot have a disk of its own: a mount needs root. */
export function noOwnDisk(): string | null {
  return process.getuid?.() === 0 ? null : 'only root may mount a file system';
}

export const fullDisk: Trouble = {
  name: 'a full disk',
  async run(victim) {
    const since = victim.server.events.all.length;
    const filler = join(victim.server.data, 'filler');
    for (const [left, what] of [
      [minimumFree - 1, 'below its floor'],
      [0, 'full to the last byte'],
    ] as const) {
      const { free } = await victim.status();
      await writeFile(filler, Buffer.alloc(Math.max(0, free - left)), { flag: 'a' });
      const when = `on a disk ${what}`;
      await victim.refuses(when, /disk has .* too little free/);
      await victim.answers(when);
      await victim.statusSays(when, /free.*refused/);
    }
    victim.logSays(since, 'on a full disk', /too little free/);
    await rm(filler);
    await victim.recovers(this.name);
  },
};

export const readOnlyDisk: Trouble = {
  name: 'a read-only disk',
  async run(victim) {
    const since = victim.server.events.all.length;
    execFileSync('mount', ['-o', 'remount,ro', victim.server.data]);
    const when = 'on a read-only disk';
    try {
      await victim.refuses(when, /read-only/i);
      await victim.answers(when);
      await victim.statusSays(when, /read-only/i);
      victim.logSays(since, when, /read-only/i);
    } finally {
      execFileSync('mount', ['-o', 'remount,rw', victim.server.data]);
    }
    await victim.recovers(this.name);
  },
};

/** The disk of the vault is gone for a while: a mount that broke, a disk that was pulled. */
export const noDisk: Trouble = {
  name: 'a vault without its disk',
  async run(victim) {
    const { data } = victim.server;
    const since = victim.server.events.all.length;
    await rename(join(data, '.incoming'), join(data, '.incoming.away'));
    const when = 'without its folder for what arrives';
    await victim.refuses(when, /no such file/i);
    await victim.answers(when);
    victim.logSays(since, when, /no such file/i);
    await rename(join(data, '.incoming.away'), join(data, '.incoming'));
    await victim.recovers(this.name);
  },
};
