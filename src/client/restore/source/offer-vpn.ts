import { readFile } from 'node:fs/promises';
import { basename, join, parse, resolve } from 'node:path';
import { makeFolders } from '../../../mesh/files/make-folders.js';
import { writeNewFile } from '../../../mesh/files/write-new-file.js';
import type { VpnFile } from '../../../mesh/kit/kit.js';
import { printable } from '../../../mesh/terms/clean-text.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Context } from '../../session/context.js';

export interface VpnOptions {
  /** Where to write the VPN configuration of a kit, without asking. */
  readonly vpnDir?: string;
  readonly yes?: boolean;
}

/**
 * Says which VPN configuration a kit holds, and writes it where a person, or `--vpn-dir`, wants it: into files that only
 * this user can read. Nothing that is there is overwritten, and nothing is put into force: that is for a person to do.
 * @throws Failure `interrupted` when the person has to bring the VPN up first
 */
export async function offerVpn(
  context: Context,
  server: string,
  files: readonly VpnFile[],
  { vpnDir, yes = false }: VpnOptions,
): Promise<void> {
  const { screen, prompts, cwd } = context;
  if (files.length === 0) return;
  const asked = vpnDir === undefined && prompts.interactive && !yes;
  const folder = resolve(cwd, vpnDir ?? `anemone-vpn-${server}`);
  const tell = asked ? screen.asked : screen.note;
  tell(`The kit holds the VPN configuration of ${server}: ${files.map(({ path }) => printable(path)).join(', ')}.`);
  const wanted =
    vpnDir !== undefined || (asked && (await prompts.confirm(`Write it to ${folder}?`, 'Give --vpn-dir.')));
  if (!wanted) {
    screen.note('It was not written. If the VPN is not up yet, --vpn-dir DIR writes it.');
    return;
  }
  for (const words of await writeVpn(context, folder, files)) tell(`Written: ${words}`);
  tell(`To join the VPN: wg-quick up ${join(folder, nameOf(files[0]))}, or copy the files to where they were.`);
  if (!asked || (await prompts.confirm('Is the VPN up now?', 'Give --vpn-dir and --yes.'))) return;
  throw new Failure('interrupted', 'nothing was restored', {
    hint: 'Bring the VPN up, and run the same command again.',
  });
}

/** @returns what was written, in words */
async function writeVpn({ screen }: Context, folder: string, files: readonly VpnFile[]): Promise<readonly string[]> {
  await makeFolders(folder, 0o700).catch((cause) => {
    const message = `the VPN configuration cannot be written to ${folder}: ${(cause as Error).message}`;
    throw new Failure('failed', message, {
      cause,
      hint: 'Name a folder that can be made, with --vpn-dir DIR: in a container one of its volumes, such as logs/vpn.',
    });
  });
  const written: string[] = [];
  for (const [name, file] of namesOf(files)) {
    const path = join(folder, name);
    try {
      await writeNewFile(path, file.content, 0o600);
      written.push(`${path}, which was ${printable(file.path)}`);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw Failure.from(thrown, path);
      const isSame = (await readFile(path, 'utf8').catch(() => null)) === file.content;
      if (isSame) screen.note(`${path} is there already.`);
      else
        screen.warn(`${path} is there already and differs from ${printable(file.path)} of the kit: it is left alone`);
    }
  }
  return written;
}

/** They come from several folders, and go into one: a name that another file has gets a number, unless it is the same file. */
function namesOf(files: readonly VpnFile[]): ReadonlyMap<string, VpnFile> {
  const named = new Map<string, VpnFile>();
  for (const file of files) {
    const plain = nameOf(file);
    const { name: stem, ext } = parse(plain);
    let name = plain;
    for (let number = 2; (named.get(name) ?? file).content !== file.content; number += 1)
      name = `${stem}-${number}${ext}`;
    if (!named.has(name)) named.set(name, file);
  }
  return named;
}

/** One safe component, whatever the path was. */
function nameOf(file: VpnFile | undefined): string {
  const name = basename(file?.path ?? '').replace(/[^A-Za-z0-9._@-]/g, '_');
  return name.replace(/^\.+/, '') === '' ? 'vpn.conf' : name.replace(/^\.+/, '');
}
