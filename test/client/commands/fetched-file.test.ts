import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { openFetchedFile } from '../../../src/client/commands/fetched-file.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let target: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  target = join(folder, 'fr1.enc');
});

async function fetching(content: string, force = false) {
  const options = { digest: Buffer.from(content), manifest: Buffer.from(`of ${content}`), force };
  const fetched = await openFetchedFile(target, options);
  await fetched.part.file.writeFile(content);
  return fetched;
}
const there = async () => [await readFile(target, 'utf8'), await readFile(`${target}.manifest`, 'utf8')];

it('two fetches to one name: the second one to end changes neither the file nor the manifest of the first', async () => {
  const [one, two] = [await fetching('one'), await fetching('two')];
  await one.keep();
  await expect(two.keep()).rejects.toMatchObject({ kind: 'conflict' });
  await two.part.discard();
  expect([await there(), await readdir(folder)]).toEqual([
    ['one', 'of one'],
    ['fr1.enc', 'fr1.enc.manifest'],
  ]);
});

it('a file that appears meanwhile is left alone, and gets no manifest', async () => {
  const one = await fetching('one');
  await writeFile(target, 'mine');
  await expect(one.keep()).rejects.toMatchObject({ kind: 'conflict' });
  await one.part.discard();
  expect([await readFile(target, 'utf8'), await readdir(folder)]).toEqual(['mine', ['fr1.enc']]);
});

it('a manifest that a fetch left, which ended before its file had its name, is in nobody’s way', async () => {
  await writeFile(`${target}.manifest`, 'of one');
  await (await fetching('one')).keep();
  expect(await there()).toEqual(['one', 'of one']);
});

it('both are replaced with force', async () => {
  await (await fetching('one')).keep();
  await (await fetching('two', true)).keep();
  expect(await there()).toEqual(['two', 'of two']);
});
