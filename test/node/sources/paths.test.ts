import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type BigIntStats, closeSync, existsSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import {
  appendFile,
  chmod,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { extract } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { archive } from '../../../src/node/sources/archive.js';
import { openSource } from '../../../src/node/sources/open-source.js';
import type { Source } from '../../../src/node/sources/source.js';
import type { Found } from '../../../src/node/sources/walk.js';
import { newReading, sourceContract } from '../../contracts/source.contract.js';
import { settle } from '../../support/fake-clock.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let base: string;
beforeEach(async () => {
  base = await temporaryFolder();
});

function source(paths: readonly string[], exclude: readonly string[] = [], never: readonly string[] = []): Source {
  return openSource({ kind: 'paths', paths, exclude }, base, never);
}

interface Member {
  readonly name: string;
  readonly type: string;
  readonly mode: number;
  readonly linkname: string;
  readonly body: Buffer;
}

async function membersOf(archive: Buffer): Promise<Member[]> {
  const tar = extract();
  tar.end(gunzipSync(archive));
  const members: Member[] = [];
  for await (const entry of tar) {
    const { name, type, mode, linkname } = entry.header;
    members.push({ name, type, mode, linkname, body: await buffer(entry as AsyncIterable<Uint8Array>) });
  }
  return members;
}

async function read(of: Source): Promise<{ members: Member[]; names: string[]; warnings: string[] }> {
  const { context, warnings } = newReading();
  const members = await membersOf(await buffer(of.read(context)));
  return { members, names: members.map(({ name }) => name), warnings };
}

async function put(name: string, content: string | Buffer = name): Promise<void> {
  await mkdir(join(base, name, '..'), { recursive: true });
  await writeFile(join(base, name), content);
}

function openFilesBelow(folder: string): string[] {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => target.startsWith(folder));
}

async function allClosed(): Promise<void> {
  while (openFilesBelow(base).length > 0) await setImmediate();
}

/** Bytes that gzip cannot shrink and that are the same each time. */
function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0, x = 1; i < size; i += 1) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

sourceContract('paths', async () => {
  await put('good/file');
  await put('long/file', noise(8 * 2 ** 20));
  return {
    good: source(['good']),
    long: source(['long']),
    broken: source(['missing']),
    released: allClosed,
    dispose: async () => {},
  };
});

describe('what paths are called in the archive', () => {
  it('a relative path keeps its relative name, without entries for the folders above it', async () => {
    await put('a/config/file');
    expect((await read(source(['./a/config']))).names).toEqual(['a/config/', 'a/config/file']);
  });

  it('an absolute path loses its leading slash', async () => {
    await put('etc/file');
    const name = join(base, 'etc').slice(1);
    expect((await read(source([join(base, 'etc')]))).names).toEqual([`${name}/`, `${name}/file`]);
  });

  it('`.` contributes its children', async () => {
    await put('b/file');
    await put('a');
    expect((await read(source(['.']))).names).toEqual(['a', 'b/', 'b/file']);
  });

  it('a path that leaves the base counts as absolute', async () => {
    await put('inner/x');
    await put('outer/file');
    const inside = openSource({ kind: 'paths', paths: ['../outer'], exclude: [] }, join(base, 'inner'), []);
    expect((await read(inside)).names).toEqual([`${base.slice(1)}/outer/`, `${base.slice(1)}/outer/file`]);
  });

  it('a single file is a member of its own', async () => {
    await put('config/app.yaml');
    expect((await read(source(['config/app.yaml']))).names).toEqual(['config/app.yaml']);
  });

  it('paths that lie in one another appear once, whatever their order', async () => {
    await put('a/b/file');
    const names = ['a/', 'a/b/', 'a/b/file'];
    expect((await read(source(['a/b', 'a', './a/']))).names).toEqual(names);
    await put('c');
    expect((await read(source(['a/b/file', '.', 'c']))).names).toEqual([...names, 'c']);
  });

  it('two files that would have one name are an error of the configuration', async () => {
    await put('etc/file');
    const open = (): Source => openSource({ kind: 'paths', paths: ['etc', '/etc/hosts'], exclude: [] }, base, []);
    expect(open).toThrow(expect.objectContaining({ kind: 'config', message: expect.stringContaining('/etc/hosts') }));
    const dot = openSource({ kind: 'paths', paths: ['.', '/etc/hosts'], exclude: [] }, base, []);
    await expect(read(dot)).rejects.toMatchObject({ kind: 'config', message: expect.stringContaining('/etc/hosts') });
  });
});

describe('what paths keep', () => {
  it('keeps the bytes of names as the order, and odd names', async () => {
    const names = ['B', 'a b', 'a', 'new\nline', 'z', 'É', 'é'.normalize('NFD'), '😀', 'x'.repeat(120)];
    for (const name of names) await put(`config/${name}`);
    const expected = names
      .map((name) => `config/${name}`)
      .sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
    const { names: found, warnings } = await read(source(['config']));
    expect(found).toEqual(['config/', ...expected]);
    expect(warnings).toEqual([]);
  });

  it('keeps modes, symlinks as they are, hard links, empty files and folders', async () => {
    await put('config/run.sh', '#!/bin/sh');
    await chmod(join(base, 'config/run.sh'), 0o750);
    await put('config/none', '');
    // Only root can read what nobody may read.
    const none = process.getuid?.() === 0 ? 0o000 : 0o400;
    await chmod(join(base, 'config/none'), none);
    await mkdir(join(base, 'config/void'));
    await chmod(join(base, 'config/void'), 0o2700);
    await link(join(base, 'config/run.sh'), join(base, 'config/zz'));
    await symlink('/absolute/../nowhere', join(base, 'config/link'));
    const { members } = await read(source(['config']));
    expect(
      members.map(({ name, type, mode, linkname, body }) => [name, type, mode, linkname ?? '', body.toString()]),
    ).toEqual([
      ['config/', 'directory', 0o755, '', ''],
      ['config/link', 'symlink', 0o777, '/absolute/../nowhere', ''],
      ['config/none', 'file', none, '', ''],
      ['config/run.sh', 'file', 0o750, '', '#!/bin/sh'],
      ['config/void/', 'directory', 0o2700, '', ''],
      ['config/zz', 'link', 0o750, 'config/run.sh', ''],
    ]);
  });

  it('is read by GNU tar, which finds the same times, also those far away', async () => {
    for (const [name, seconds] of [
      ['old', -86400],
      ['now', 1_700_000_000],
      ['far', 4_000_000_000],
    ] as const) {
      await put(`config/${name}`);
      const time = new Date(seconds * 1000);
      await utimes(join(base, 'config', name), time, time);
    }
    const archive = await buffer(source(['config']).read(newReading().context));
    const listing = execFileSync('tar', ['--utc', '--full-time', '-tvzf', '-'], { input: archive, encoding: 'utf8' });
    expect(listing).toMatch(/1969-12-31 00:00:00 config\/old/);
    expect(listing).toMatch(/2023-11-14 22:13:20 config\/now/);
    expect(listing).toMatch(/2096-10-02 07:06:40 config\/far/);
  });

  it('gives the same bytes for the same tree, made in another order in another folder', async () => {
    const build = async (folder: string, names: string[]): Promise<Buffer> => {
      for (const name of names) await put(`${folder}/config/${name}`, `content of ${name}`);
      await symlink('b', join(base, folder, 'config/link'));
      for (const name of [...names, 'link', 'x', ''])
        await lutimes(join(base, folder, 'config', name), 1_700_000_000, 1_700_000_000);
      const at = openSource({ kind: 'paths', paths: ['config'], exclude: [] }, join(base, folder), []);
      return buffer(at.read(newReading().context));
    };
    const first = await build('one', ['a', 'b', 'x/c']);
    const second = await build('two', ['x/c', 'b', 'a']);
    expect(first.equals(second)).toBe(true);
    expect(first.subarray(4, 8)).toEqual(Buffer.alloc(4));
  });

  it('leaves out what the patterns exclude, and folders that may never be kept, by any name', async () => {
    for (const name of ['keep', 'x.tmp', 'cache/a', 'vault/secret']) await put(`config/${name}`);
    await symlink(join(base, 'config/vault'), join(base, 'vault-link'));
    const { names, warnings } = await read(source(['config'], ['*.tmp', 'cache/'], [join(base, 'vault-link')]));
    expect(names).toEqual(['config/', 'config/keep']);
    expect(warnings).toEqual([]);
  });

  it('leaves out a configured path inside such a folder, and says so', async () => {
    await put('config/a');
    await put('vault/deep/b');
    const { names, warnings } = await read(source(['config', 'vault/deep'], [], [join(base, 'vault')]));
    expect(names).toEqual(['config/', 'config/a']);
    expect(warnings).toEqual([expect.stringContaining('vault/deep')]);
  });
});

describe('what paths cannot keep', () => {
  it('sockets, pipes and names that are not UTF-8 are left out and told', async () => {
    await put('config/a');
    execFileSync('mkfifo', [join(base, 'config/pipe')]);
    await writeFile(Buffer.concat([Buffer.from(join(base, 'config/bad')), Buffer.from([0xff])]), 'x');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(base, 'config/socket'), resolve));
    const { names, warnings } = await read(source(['config']));
    await new Promise((resolve) => server.close(resolve));
    expect(names).toEqual(['config/', 'config/a']);
    expect(warnings.sort()).toEqual([
      expect.stringMatching(/config\/bad.*not UTF-8/),
      expect.stringMatching(/config\/pipe.*named pipe.*`exclude`/),
      expect.stringMatching(/config\/socket.*socket.*`exclude`/),
    ]);
    expect((await read(source(['config'], ['pipe', 'socket']))).warnings).toEqual([
      expect.stringContaining('not UTF-8'),
    ]);
  });

  it('a configured path that is missing is told; when all are, it is an error', async () => {
    await put('config/a');
    const { names, warnings } = await read(source(['config', 'gone']));
    expect(names).toEqual(['config/', 'config/a']);
    expect(warnings).toEqual(['gone does not exist']);
    await expect(read(source(['gone', 'lost']))).rejects.toMatchObject({
      kind: 'config',
      message: expect.stringMatching(/gone, lost/),
    });
  });

  it('a configured folder without anything in it is told each time: its disk may not be mounted', async () => {
    await put('config/a');
    await mkdir(join(base, 'config/void'));
    await mkdir(join(base, 'disk'));
    const disk = join(base, 'disk');
    const told = [expect.stringMatching(`^${disk} is empty: is its disk mounted`)];
    const both = source(['config', disk]);
    expect((await read(both)).warnings).toEqual(told);
    expect((await read(both)).warnings).toEqual(told);
    await put('disk/a');
    expect((await read(both)).warnings).toEqual([]);
    expect((await read(source(['config', disk], ['a']))).warnings).toEqual([]);
  });

  it('a configured path that is a symbolic link is kept as a link, and told', async () => {
    await put('real/a');
    await symlink('real', join(base, 'config'));
    const { members, warnings } = await read(source(['config']));
    expect(members).toMatchObject([{ name: 'config', type: 'symlink', linkname: 'real' }]);
    expect(warnings).toEqual([expect.stringContaining('symbolic link')]);
  });

  it('is told before it is read, so that what hangs has a name', async () => {
    await put('config/a');
    await symlink('a', join(base, 'config/b'));
    const { context, touched } = newReading();
    await buffer(source(['config']).read(context));
    expect([...new Set(touched)]).toEqual(['config', 'config/a', 'config/b'].map((name) => join(base, name)));
  });

  it('an archive without any member is an error', async () => {
    await put('config/a.tmp');
    await expect(read(source(['.'], ['config']))).rejects.toMatchObject({
      message: expect.stringContaining('nothing to back up'),
    });
  });

  it('does not write the control characters of a name into a message', async () => {
    await put('config/a');
    execFileSync('mkfifo', [join(base, 'config/\u001b[31m\nred')]);
    const { warnings } = await read(source(['config']));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^[ -~]+$/);
  });
});

/** Reads an archive whose first member is larger than all buffers, and changes the tree when a part of it was read. */
async function readWhile(change: () => Promise<void>): Promise<{ members: Member[]; warnings: string[] }> {
  await put('config/a-large', noise(4 * 2 ** 20));
  const { context, warnings } = newReading();
  const chunks: Uint8Array[] = [];
  for await (const chunk of source(['config']).read(context)) {
    chunks.push(chunk);
    // The first chunk is the header of gzip alone; the second holds bytes of the large file.
    if (chunks.length === 2) await change();
  }
  return { members: await membersOf(Buffer.concat(chunks)), warnings };
}

describe('a tree that changes while it is read', () => {
  const large = (): string => join(base, 'config/a-large');

  it('a file that shrinks keeps its size, filled with zeros, and is told', async () => {
    const { members, warnings } = await readWhile(() => truncate(large(), 3 * 2 ** 20));
    const body = members.find(({ name }) => name === 'config/a-large')?.body ?? Buffer.alloc(0);
    expect(body).toHaveLength(4 * 2 ** 20);
    expect(body.subarray(3 * 2 ** 20).every((byte) => byte === 0)).toBe(true);
    expect(warnings).toEqual([expect.stringMatching(/a-large.*changed while it was read: it shrank/)]);
  });

  it('a file that grows is kept as long as it was, and is told', async () => {
    const { members, warnings } = await readWhile(() => appendFile(large(), 'more'));
    expect(members.find(({ name }) => name === 'config/a-large')?.body).toHaveLength(4 * 2 ** 20);
    expect(warnings).toEqual([expect.stringMatching(/a-large.*changed while it was read/)]);
  });

  it('a file that is replaced is read to its end, and nothing is wrong', async () => {
    const { members, warnings } = await readWhile(async () => {
      await rm(large());
      await writeFile(large(), 'new');
    });
    expect(members.find(({ name }) => name === 'config/a-large')?.body.equals(noise(4 * 2 ** 20))).toBe(true);
    expect(warnings).toEqual([]);
  });

  it('a file that disappears before its turn is told, and the rest is kept', async () => {
    await put('config/b');
    await put('config/c');
    const { members, warnings } = await readWhile(() => rm(join(base, 'config/b')));
    expect(members.map(({ name }) => name)).toEqual(['config/', 'config/a-large', 'config/c']);
    expect(warnings).toEqual([expect.stringMatching(/config\/b.*disappeared/)]);
  });

  it('a file that becomes a pipe or a link before its turn is not followed and does not stop the backup', async () => {
    await put('config/b');
    await put('outside', 'secret');
    const { members, warnings } = await readWhile(async () => {
      await rm(join(base, 'config/b'));
      await symlink('../outside', join(base, 'config/b'));
    });
    expect(members.map(({ body }) => body.toString())).not.toContain('secret');
    expect(members.at(-1)).toMatchObject({ name: 'config/b', type: 'symlink' });
    expect(warnings).toEqual([]);
  });
});

describe('a disk that does not answer', () => {
  /** Keeps all threads busy by which Node works with files, as a mount does whose server is gone. */
  async function withoutAnswer(work: () => Promise<void>): Promise<void> {
    const pipe = join(base, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
    const opens = Array.from({ length: threads }, () => open(pipe));
    try {
      await work();
    } finally {
      const writer = openSync(pipe, 'r+');
      for (const reader of await Promise.all(opens)) await reader.close();
      closeSync(writer);
    }
  }

  it('is not let go of before it answers, also when the signal aborts: who reads it learns that it hangs', async () => {
    await put('config/a');
    const { context, abort } = newReading();
    let end: Promise<unknown> = Promise.resolve();
    await withoutAnswer(async () => {
      end = buffer(source(['config']).read(context)).catch((error) => error);
      await settle();
      abort();
      await settle();
      expect(await Promise.race([end, setImmediate('still reading')])).toBe('still reading');
    });
    expect(await end).toMatchObject({ kind: 'interrupted' });
  });
});

/** A file as the walk finds it, so that a test can change the tree between that and the opening. */
async function foundFile(name: string, seen: Partial<BigIntStats> = {}): Promise<Found> {
  const absolute = join(base, 'config', name);
  const stats = Object.assign(await lstat(absolute, { bigint: true }), seen);
  return { absolute, name, kind: 'file', stats, target: '' };
}

async function archived(found: AsyncIterable<Found>): Promise<{ members: Member[]; warnings: string[] }> {
  const { context, warnings } = newReading();
  return { members: await membersOf(gzipSync(await buffer(archive(found, context)))), warnings };
}

describe('a file of which its file system tells a wrong size', () => {
  const wrong = [
    { absolute: '/proc/version', told: /version" has more than the 0 bytes .* the rest is left out/ },
    {
      absolute: '/sys/kernel/address_bits',
      told: /address_bits" ends after 3 of the 4096 bytes .* zeros take the place of the rest/,
    },
  ];
  for (const { absolute, told } of wrong) {
    it.skipIf(!existsSync(absolute))(`is kept with that size, and told: ${absolute}`, async () => {
      const stats = await lstat(absolute, { bigint: true });
      const { members, warnings } = await archived(
        (async function* () {
          yield { absolute, name: absolute.slice(1), kind: 'file', stats, target: '' };
        })(),
      );
      expect(members.map(({ body }) => body.length)).toEqual([Number(stats.size)]);
      expect(warnings).toEqual([expect.stringMatching(told)]);
    });
  }

  it.each([0, 1, 256 * 1024, 256 * 1024 + 1])('is none that has the %i bytes that it says', async (size) => {
    await put('config/a', noise(size));
    const { members, warnings } = await read(source(['config']));
    expect(members.at(-1)?.body.equals(noise(size))).toBe(true);
    expect(warnings).toEqual([]);
  });
});

describe('a file that becomes a link between being found and being opened', () => {
  it('is not followed, and told', async () => {
    await put('config/a', 'secret');
    await put('config/b', 'b');
    await symlink('a', join(base, 'config/link'));
    const { members, warnings } = await archived(
      (async function* () {
        const b = await foundFile('b');
        yield b;
        yield { ...b, absolute: join(base, 'config/link'), name: 'link' };
      })(),
    );
    expect(members.map(({ name }) => name)).toEqual(['b']);
    expect(warnings).toEqual([expect.stringMatching(/link.*ELOOP/)]);
  });
});

/** Takes a write lease, says so, and dies of the signal by which the system asks for it back. */
const takeLease = `open(my $file, '+<', $ARGV[0]) or die; fcntl($file, 1024, 1) or die; $| = 1; print 'taken'; sleep`;
const tryLease = `open(my $file, '+>', undef) or exit 1; fcntl($file, 1024, 1) or exit 1`;
const hasLeases = spawnSync('perl', ['-e', tryLease]).status === 0;

describe.skipIf(!hasLeases)('a file on which a file server has a lease', () => {
  it('is kept once the lease is given back', async () => {
    await put('config/a', 'leased');
    const server = spawn('perl', ['-e', takeLease, join(base, 'config/a')], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(server.stdout, 'data');
    const { context, clock, warnings } = newReading();
    const reading = buffer(source(['config']).read(context));
    await Promise.race([once(server, 'exit'), reading]);
    const members = await membersOf(await clock.runUntil(reading));
    expect(warnings).toEqual([]);
    expect(members.at(-1)).toMatchObject({ name: 'config/a', body: Buffer.from('leased') });
    expect(clock.pending()).toBe(0);
  });

  it('is left out and told when it is not', async () => {
    await put('config/a', 'leased');
    await put('config/b');
    const script = `$SIG{IO} = 'IGNORE'; ${takeLease} while 1`;
    const server = spawn('perl', ['-e', script, join(base, 'config/a')], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(server.stdout, 'data');
      const { context, clock, warnings } = newReading();
      const members = await membersOf(await clock.runUntil(buffer(source(['config']).read(context))));
      expect(warnings).toEqual([expect.stringContaining('"config/a" is left out: EAGAIN')]);
      expect(members.at(-1)?.name).toBe('config/b');
    } finally {
      server.kill('SIGKILL');
    }
  });
});

describe('what counts as another name of a file', () => {
  beforeEach(async () => {
    await put('config/mail', 'the first mail');
    await link(join(base, 'config/mail'), join(base, 'config/mail-2'));
  });
  const contents = (members: readonly Member[]): string[][] =>
    members.map(({ name, type, body }) => [name, type, body.toString()]);

  it('is not a new file that got the inode number of a deleted one, whether it has one name or several', async () => {
    const { members } = await archived(
      (async function* () {
        const mail = await foundFile('mail');
        const reused = { ino: mail.stats.ino, birthtimeNs: mail.stats.birthtimeNs + 1n };
        yield mail;
        for (const name of ['mail', 'mail-2']) await rm(join(base, 'config', name));
        await put('config/new', 'new');
        yield foundFile('new', reused);
        await link(join(base, 'config/new'), join(base, 'config/new-2'));
        yield foundFile('new-2', reused);
      })(),
    );
    expect(contents(members)).toEqual([
      ['mail', 'file', 'the first mail'],
      ['new', 'file', 'new'],
      ['new-2', 'file', 'new'],
    ]);
  });

  it('is not one of a file that was replaced between being found and being opened', async () => {
    const { members } = await archived(
      (async function* () {
        const mail = await foundFile('mail');
        await link(join(base, 'config/mail'), join(base, 'config/mail-3'));
        await put('config/other', 'another mail');
        await link(join(base, 'config/other'), join(base, 'config/other-2'));
        await rename(join(base, 'config/other'), join(base, 'config/mail'));
        yield mail;
        yield foundFile('mail-2');
        yield foundFile('mail-3');
        yield foundFile('other-2');
      })(),
    );
    expect(contents(members)).toEqual([
      ['mail', 'file', 'another mail'],
      ['mail-2', 'file', 'the first mail'],
      ['mail-3', 'link', ''],
      ['other-2', 'link', ''],
    ]);
    expect(members.map(({ linkname }) => linkname ?? '')).toEqual(['', '', 'mail-2', 'mail']);
  });
});

describe.skipIf(process.getuid?.() !== 0)('as a user who may not read everything', () => {
  afterEach(() => process.seteuid?.(0));

  it('unreadable files and folders are told, and the rest is kept', async () => {
    await put('config/open');
    await put('config/secret');
    await put('config/shut/inside');
    await chmod(base, 0o755);
    await chmod(join(base, 'config/secret'), 0o600);
    await chmod(join(base, 'config/shut'), 0o700);
    process.seteuid?.(65534);
    const { names, warnings } = await read(source(['config']));
    expect(names).toEqual(['config/', 'config/open', 'config/shut/']);
    expect(warnings).toEqual([expect.stringMatching(/secret.*EACCES/), expect.stringMatching(/shut.*EACCES/)]);
  });
});
