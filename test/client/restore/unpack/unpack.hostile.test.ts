import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { writeSingle } from '../../../../src/client/restore/unpack/single-file.js';
import { unpack } from '../../../../src/client/restore/unpack/unpack.js';
import type { Bytes } from '../../../../src/mesh/terms/bytes.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';
import { endOfArchive, rawMember, rawTar, stream } from '../raw-tar.js';

let base: string;
let staging: string;
beforeEach(async () => {
  base = await temporaryFolder();
  await mkdir(join(base, 'victim'));
  await writeFile(join(base, 'victim/file'), 'untouched');
  await mkdir(join(base, 'target'));
  staging = join(base, 'target/staging');
});

const file = { name: 'a', body: 'content' } as const;
const folder = { name: 'a/', type: '5', mode: 0o755 } as const;
const gzip = gzipSync(rawTar(file));
const outside = '../victim/file';

type Case = readonly [title: string, kind: 'invalid' | 'damaged', message: RegExp, archive: () => Buffer];

/** A path of so many bytes, in components that are short enough. */
const pathOf = (bytes: number): string => 'd'.repeat(250).concat('/').repeat(17).slice(0, bytes);

const names: readonly Case[] = [
  ['an absolute name', 'invalid', /"\/tmp\/anemone-x".*absolute/, () => rawTar({ name: '/tmp/anemone-x' })],
  ['an absolute name with two slashes', 'invalid', /absolute/, () => rawTar({ name: '//tmp/x' })],
  [
    'a name that starts with ..',
    'invalid',
    /"\.\.\/\.\.\/victim\/file".*`\.\.`/,
    () => rawTar({ name: '../../victim/file' }),
  ],
  ['a name with .. inside', 'invalid', /`\.\.`/, () => rawTar({ name: 'a/../../../victim/file' })],
  ['a name that ends in ..', 'invalid', /`\.\.`/, () => rawTar({ name: 'a/..', type: '5' })],
  ['the name ..', 'invalid', /`\.\.`/, () => rawTar({ name: '..', type: '5' })],
  ['a name of ./ and ..', 'invalid', /`\.\.`/, () => rawTar({ name: './../x' })],
  [
    '.. in the prefix of the header',
    'invalid',
    /`\.\.`/,
    () => rawTar({ name: 'x', patch: (h) => void h.write('../..', 345) }),
  ],
  [
    '.. in a pax record behind a harmless name',
    'invalid',
    /`\.\.`/,
    () => rawTar({ name: 'harmless', pax: { path: '../../victim/file' } }),
  ],
  [
    '.. in a long name of GNU tar',
    'invalid',
    /`\.\.`/,
    () => rawTar({ name: '././@LongLink', type: 'L', body: '../../victim/file\0' }, file),
  ],
  [
    '.. in a global pax record',
    'invalid',
    /`\.\.`/,
    () => rawTar({ type: 'g', body: '23 path=../victim/file\n' }, { ...file, pax: { comment: 'x' } }),
  ],
  ['a NUL in a pax name', 'invalid', /NUL/, () => rawTar({ pax: { path: 'good\0evil' } })],
  ['a newline in a name', 'invalid', /control character/, () => rawTar({ name: 'a\nb' })],
  ['an escape sequence in a name', 'invalid', /"\\x1b\[2Jx".*control character/, () => rawTar({ name: '\x1b[2Jx' })],
  ['a C1 control in a pax name', 'invalid', /control character/, () => rawTar({ pax: { path: 'a\u009bb' } })],
  ['an empty name', 'invalid', /empty/, () => rawTar({ name: '' })],
  ['a file in the place of the folder itself', 'invalid', /empty/, () => rawTar({ name: './.' })],
  ['a component of 300 bytes', 'invalid', /longer than 255/, () => rawTar({ pax: { path: 'x'.repeat(300) } })],
  ['a path of 257 components', 'invalid', /folders deep/, () => rawTar({ pax: { path: `${'d/'.repeat(256)}x` } })],
  [
    'a path that nothing could open below the target',
    'invalid',
    /path is longer than 40\d\d bytes/,
    () => rawTar(folder, { pax: { path: pathOf(4090) } }),
  ],
];

const collisions: readonly Case[] = [
  ['two files of one name', 'invalid', /"a".*two of that name/, () => rawTar(file, file)],
  ['two names that mean one path', 'invalid', /two of that name/, () => rawTar({ name: 'a/b' }, { name: './a//b' })],
  ['a folder listed twice', 'invalid', /two of that name/, () => rawTar(folder, folder)],
  ['a file in the place of a folder', 'invalid', /two of that name/, () => rawTar(folder, file)],
  ['a file in the place of an implied folder', 'invalid', /members lie below/, () => rawTar({ name: 'a/b' }, file)],
  ['a member below a file', 'invalid', /"a\/b".*below a file/, () => rawTar(file, { name: 'a/b' })],
  ['a member deep below a file', 'invalid', /below a file/, () => rawTar(file, { name: 'a/b/c/d' })],
  [
    'a file written through a symlink',
    'invalid',
    /below a symlink/,
    () => rawTar({ name: 'a', type: '2', linkname: '../../victim' }, { name: 'a/file', body: 'evil' }),
  ],
  [
    'a file written over a symlink',
    'invalid',
    /two of that name/,
    () => rawTar({ name: 'a', type: '2', linkname: outside }, file),
  ],
  [
    'a symlink in the place of an implied folder',
    'invalid',
    /members lie below/,
    () => rawTar({ name: 'a/b' }, { name: 'a', type: '2', linkname: '..' }),
  ],
  [
    'a symlink in the place of a folder',
    'invalid',
    /two of that name/,
    () => rawTar(folder, { name: 'a', type: '2', linkname: '../../victim' }, { name: 'a/file' }),
  ],
  [
    'a folder over a symlink',
    'invalid',
    /two of that name/,
    () => rawTar({ name: 'a', type: '2', linkname: '../../victim' }, folder),
  ],
];

const links: readonly Case[] = [
  ['a hard link to an absolute path', 'invalid', /absolute/, () => rawTar({ type: '1', linkname: '/etc/passwd' })],
  ['a hard link to ..', 'invalid', /`\.\.`/, () => rawTar({ type: '1', linkname: '../../victim/file' })],
  [
    'a hard link through a symlink',
    'invalid',
    /no file that came before/,
    () => rawTar({ name: 's', type: '2', linkname: '../../victim' }, { type: '1', linkname: 's/file' }),
  ],
  [
    'a hard link to a symlink',
    'invalid',
    /no file that came before/,
    () => rawTar({ name: 's', type: '2', linkname: outside }, { type: '1', linkname: 's' }),
  ],
  [
    'a hard link to a folder',
    'invalid',
    /no file that came before/,
    () => rawTar(folder, { type: '1', linkname: 'a' }),
  ],
  [
    'a hard link to itself',
    'invalid',
    /no file that came before/,
    () => rawTar({ name: 'h', type: '1', linkname: 'h' }),
  ],
  [
    'a hard link to what comes later',
    'invalid',
    /no file that came before/,
    () => rawTar({ name: 'h', type: '1', linkname: 'a' }, file),
  ],
  ['a hard link to nothing', 'invalid', /hard link to nothing/, () => rawTar({ type: '1' })],
  [
    'a hard link with content',
    'invalid',
    /no content/,
    () => rawTar(file, { name: 'h', type: '1', linkname: 'a', body: 'evil' }),
  ],
  ['a symlink to nothing', 'invalid', /symlink to nothing/, () => rawTar({ type: '2' })],
  [
    'a symlink with a control character',
    'invalid',
    /control character/,
    () => rawTar({ type: '2', linkname: 'a\x1b[31m' }),
  ],
  ['a symlink of 5000 bytes', 'invalid', /4095/, () => rawTar({ type: '2', pax: { linkpath: 'x/'.repeat(2500) } })],
];

const kinds: readonly Case[] = [
  ['a character device', 'invalid', /character-device/, () => rawTar({ type: '3' })],
  ['a block device', 'invalid', /block-device/, () => rawTar({ type: '4' })],
  ['a fifo', 'invalid', /fifo/, () => rawTar({ type: '6' })],
  ['a contiguous file', 'invalid', /contiguous-file/, () => rawTar({ type: '7' })],
  ['a sparse file of old GNU tar', 'invalid', /unknown type/, () => rawTar({ type: 'S' })],
  [
    'a sparse file in pax records',
    'invalid',
    /sparse/,
    () => rawTar({ pax: { 'GNU.sparse.major': '1', 'GNU.sparse.name': '../x' } }),
  ],
  ['a multi-volume member', 'invalid', /unknown type/, () => rawTar({ type: 'M' })],
  ['a volume label', 'invalid', /unknown type/, () => rawTar({ type: 'V' })],
  ['a member of an unknown type', 'invalid', /unknown type/, () => rawTar({ type: 'z' })],
  ['a mode that is no number', 'invalid', /mode/, () => rawTar({ patch: (h) => void h.write('zzzzzz', 100) })],
  ['a negative user', 'invalid', /user/, () => rawTar({ pax: { uid: '-1' } })],
  ['a time that is no number', 'invalid', /time/, () => rawTar({ pax: { mtime: 'now' } })],
  ['a time beyond all calendars', 'invalid', /time/, () => rawTar({ pax: { mtime: '1e300' } })],
];

const damage: readonly Case[] = [
  ['an empty file', 'damaged', /empty/, () => Buffer.alloc(0)],
  ['text', 'damaged', /no tar archive/, () => Buffer.from('hello '.repeat(500))],
  [
    'a wrong checksum of a header',
    'damaged',
    /no tar archive/,
    () => rawTar({ ...file, spoil: (h) => void h.write('z', 0) }),
  ],
  ['a header of an unknown format', 'damaged', /no tar archive/, () => rawTar({ ...file, magic: 'evil' })],
  [
    'a negative size',
    'damaged',
    /no tar archive/,
    () => rawTar({ ...file, patch: (h) => void h.fill(0xff, 124, 136) }),
  ],
  ['a size that is no number', 'damaged', /no tar archive/, () => rawTar({ pax: { size: 'many' } })],
  ['a pax header of 5 MiB', 'damaged', /no tar archive/, () => rawTar({ pax: { comment: 'x'.repeat(5 * 2 ** 20) } })],
  [
    'a tar that is cut in a file',
    'damaged',
    /cut|no tar/,
    () => rawTar({ body: Buffer.alloc(5000, 'x') }).subarray(0, 2000),
  ],
  ['a tar that is cut in a header', 'damaged', /cut|no tar/, () => rawTar(file, { name: 'b' }).subarray(0, 1200)],
  [
    'a tar that is cut between two members',
    'damaged',
    /cut/,
    () => Buffer.concat([rawMember(file), rawMember({ name: 'b' })]),
  ],
  ['a tar with one block of its end', 'damaged', /cut/, () => rawTar(file).subarray(0, -512)],
  [
    'a tar with garbage after its end',
    'damaged',
    /no tar|follows/,
    () => Buffer.concat([rawTar(file), Buffer.alloc(512, 'x')]),
  ],
  [
    'a tar with a few bytes after its end',
    'damaged',
    /no tar|follows/,
    () => Buffer.concat([rawTar(file), Buffer.from('x')]),
  ],
  ['a size that reaches beyond the end', 'damaged', /no tar|cut/, () => rawTar({ ...file, size: 1_000_000 })],
  ['a gzip stream that is cut', 'damaged', /gzip stream is damaged or cut/, () => gzip.subarray(0, -3)],
  ['a gzip stream that is cut early', 'damaged', /gzip stream is damaged or cut/, () => gzip.subarray(0, 20)],
  ['a gzip header alone', 'damaged', /gzip stream/, () => gzip.subarray(0, 10)],
  [
    'a gzip stream with a wrong checksum',
    'damaged',
    /gzip stream/,
    () => Buffer.concat([gzip.subarray(0, -8), Buffer.alloc(4), gzip.subarray(-4)]),
  ],
  [
    'a gzip stream with a wrong length',
    'damaged',
    /gzip stream/,
    () => Buffer.concat([gzip.subarray(0, -4), Buffer.alloc(4, 1)]),
  ],
  ['garbage after the gzip stream', 'damaged', /gzip stream/, () => Buffer.concat([gzip, Buffer.from('garbage')])],
  ['zeros after the gzip stream', 'damaged', /gzip stream/, () => Buffer.concat([gzip, Buffer.alloc(5000)])],
  ['gzip around something else', 'damaged', /no tar archive/, () => gzipSync('hello '.repeat(500))],
];

async function everythingBelow(path: string): Promise<string[]> {
  return (await readdir(path, { recursive: true })).sort();
}

describe('a hostile or damaged archive', () => {
  const table = [...names, ...collisions, ...links, ...kinds, ...damage];
  it.each(table)('%s is %s, and nothing is left', async (_, kind, message, make) => {
    for (const step of [700, 1 << 20]) {
      const failure = await unpack(stream(make(), step), staging).catch((error) => error);
      expect(failure).toMatchObject({ name: 'Failure', kind, message: expect.stringMatching(message) });
      expect(failure.message).toMatch(/^[\x20-\x7e…]+$/);
      expect(await everythingBelow(base)).toEqual(['target', 'victim', 'victim/file']);
      expect(await readFile(join(base, 'victim/file'), 'utf8')).toBe('untouched');
    }
  });

  it('may point its symlinks anywhere: they are made as they are, and nothing is written through them', async () => {
    const archive = rawTar(
      { name: 's', type: '2', linkname: '../../victim/file' },
      { name: 'dir', type: '2', linkname: '/etc' },
      { name: 'z', body: 'z' },
    );
    const { entries } = await unpack(stream(archive), staging);
    expect(entries.map(({ path, kind, target }) => [path, kind, target])).toEqual([
      ['s', 'symlink', '../../victim/file'],
      ['dir', 'symlink', '/etc'],
      ['z', 'file', ''],
    ]);
    expect(await readFile(join(base, 'victim/file'), 'utf8')).toBe('untouched');
  });

  it('does not get setuid, setgid, sticky bits or owners, unless asked for', async () => {
    const archive = rawTar(
      { name: 'suid', mode: 0o6755, uid: 1234 },
      { name: 'sticky/', type: '5', mode: 0o1777, uid: 1234 },
    );
    await unpack(stream(archive), staging);
    for (const [name, mode] of [
      ['suid', 0o755],
      ['sticky', 0o777],
    ] as const) {
      const found = await stat(join(staging, name));
      expect([found.mode & 0o7777, found.uid]).toEqual([mode, process.getuid?.()]);
    }
  });

  it.skipIf(process.getuid?.() !== 0)('gets them when asked for, as root', async () => {
    const archive = rawTar(
      { name: 'suid', mode: 0o6755, uid: 1234 },
      { name: 's', type: '2', linkname: 'suid', uid: 1234 },
    );
    await unpack(stream(archive), staging, { ownership: true });
    const found = await stat(join(staging, 'suid'));
    expect([found.mode & 0o7777, found.uid]).toEqual([0o6755, 1234]);
  });

  it('gets its control characters when its owner is proved', async () => {
    const { entries } = await unpack(stream(rawTar({ name: 'a\nb' })), staging, { controlCharacters: true });
    expect(entries[0]?.path).toBe('a\nb');
    await expect(
      unpack(stream(rawTar({ pax: { path: 'a\0b' } })), `${staging}2`, { controlCharacters: true }),
    ).rejects.toThrow('NUL');
  });
});

describe('the staging folder', () => {
  const single = { name: 'db.dump', mtime: new Date(0) };
  const how = { limits: {}, signal: new AbortController().signal };
  it.each<[string, (bytes: Bytes) => Promise<unknown>]>([
    ['an archive', (bytes) => unpack(bytes, staging)],
    ['a dump', (bytes) => writeSingle(bytes, staging, single, how)],
  ])('is closed to other users of the machine while %s is written into it', async (_, write) => {
    const modes: number[] = [];
    async function* watched() {
      for await (const chunk of stream(rawTar(file))) {
        yield chunk;
        modes.push((await stat(staging)).mode & 0o777);
      }
    }
    await write(watched());
    expect([...new Set(modes)]).toEqual([0o700]);
  });
});

describe('the limits of an archive', () => {
  it('leave room for a path of 256 components', async () => {
    const { entries } = await unpack(stream(rawTar({ pax: { path: `${'d/'.repeat(255)}x` } })), staging);
    expect(entries).toHaveLength(1);
  });

  it('leave room for the longest path that can be opened where it is unpacked', async () => {
    const path = pathOf(4095 - Buffer.byteLength(`${staging}/`));
    await unpack(stream(rawTar({ pax: { path }, body: 'x' })), staging);
    expect(await readFile(join(staging, path), 'utf8')).toBe('x');
  });

  const limited: readonly [string, object, Buffer, RegExp, hint?: RegExp][] = [
    ['bytes', { bytes: 10 }, rawTar({ ...file, body: 'x'.repeat(11) }), /more than 10 bytes/, /--max-size/],
    [
      'bytes of all files together',
      { bytes: 10 },
      rawTar({ name: 'a', body: 'x'.repeat(6) }, { name: 'b', body: 'x'.repeat(6) }),
      /"b"/,
    ],
    ['entries', { entries: 2 }, rawTar({ name: 'a' }, { name: 'b' }, { name: 'c' }), /"c".*2 members/, /--max-files/],
    ['depth', {}, rawTar({ pax: { path: `${'d/'.repeat(256)}x` } }), /256 folders deep/],
  ];
  it.each(limited)('%s', async (_, limits, archive, message, hint = /./) => {
    await expect(unpack(stream(archive), staging, { limits })).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
    expect(await everythingBelow(join(base, 'target'))).toEqual([]);
  });

  it('also where only some of it is wanted', async () => {
    const archive = rawTar({ name: 'a' }, { name: 'b' }, { name: 'c' });
    const selects = (path: string) => path === 'a';
    await expect(unpack(stream(archive), staging, { limits: { entries: 2 }, selects })).rejects.toMatchObject({
      message: expect.stringMatching(/"c".*2 members/),
    });
  });

  it('a size is refused before its bytes come', async () => {
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      yield rawMember({ name: 'huge', size: 2 ** 32 });
      for (;;) yield Buffer.alloc(65536);
    };
    await expect(unpack(endless(), staging, { limits: { bytes: 2 ** 31 } })).rejects.toMatchObject({ kind: 'invalid' });
  });
});

describe('a stream that fails', () => {
  it('fails with its own error, and nothing is left', async () => {
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield rawMember({ name: 'a', body: 'x'.repeat(5000) }).subarray(0, 2000);
      throw new DOMException('stop', 'AbortError');
    };
    await expect(unpack(failing(), staging)).rejects.toMatchObject({ name: 'Failure', kind: 'interrupted' });
    expect(await everythingBelow(join(base, 'target'))).toEqual([]);
  });

  it.each([
    ['', undefined],
    [' that was not selected', () => false],
  ])('is read no further when the user stops it within a member%s, and nothing is left', async (_which, selects) => {
    const archive = rawTar({ name: 'large', body: Buffer.alloc(2 ** 20) });
    const stop = new AbortController();
    let chunks = 0;
    const stopping = (async function* () {
      for await (const chunk of stream(archive)) {
        chunks += 1;
        if (chunks === 10) stop.abort();
        yield chunk;
      }
    })();
    const options = { signal: stop.signal, ...(selects === undefined ? {} : { selects }) };
    await expect(unpack(stopping, staging, options)).rejects.toMatchObject({ kind: 'interrupted' });
    expect([chunks, await readdir(join(base, 'target'))]).toEqual([10, []]);
  });

  it('is let go of when the archive is refused', async () => {
    let released = false;
    const watched = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield rawMember({ name: '/evil' });
        for (;;) yield endOfArchive;
      } finally {
        released = true;
      }
    };
    await expect(unpack(watched(), staging)).rejects.toMatchObject({ kind: 'invalid' });
    expect(released).toBe(true);
  });

  it('never goes into a folder that exists', async () => {
    await mkdir(staging);
    await writeFile(join(staging, 'mine'), 'mine');
    await expect(unpack(stream(rawTar(file)), staging)).rejects.toMatchObject({ kind: 'failed' });
    expect(await readdir(staging)).toEqual(['mine']);
  });
});
