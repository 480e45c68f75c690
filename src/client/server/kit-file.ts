import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../mesh/config/config.js';
import { loadConfig } from '../../mesh/config/load.js';
import { readSmallFile } from '../../mesh/files/read-small-file.js';
import { replaceFile } from '../../mesh/files/replace-file.js';
import { statsIfThere } from '../../mesh/files/stats-if-there.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { loadServerIdentity } from '../../mesh/identity/server-identity.js';
import type { Signer } from '../../mesh/identity/signer.js';
import { type Kit, kitBegin, kitFileName, largestKit } from '../../mesh/kit/kit.js';
import { type MadeKit, makeKit } from '../../mesh/kit/make-kit.js';
import { parseKit } from '../../mesh/kit/parse-kit.js';
import { verifyKit } from '../../mesh/kit/signed-kit.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Screen } from '../render/screen.js';
import { needFolderOf } from './output-folder.js';
import { stateFolder } from './state-folder.js';

/** Where the kit of a server is kept: beside its configuration, so that it is backed up with it. */
export function kitPath({ file, server }: Pick<Config, 'file' | 'server'>): string {
  return join(dirname(file), kitFileName(server.name));
}

/**
 * Makes the kit of a configuration and writes it, in one step for whoever reads it meanwhile. What this user may not read of
 * the VPN is taken over from the kit that it replaces.
 */
export async function writeKit(config: Config, signer: Signer, now: number, path: string): Promise<MadeKit> {
  // Null where there is none, or none that can be believed.
  const former = await readKit(path, signer.identity).catch(() => null);
  const made = await makeKit(config, signer, now, former);
  try {
    await replaceFile(path, made.text);
  } catch (thrown) {
    throw Failure.from(thrown, `the kit cannot be written to ${path}`);
  }
  return made;
}

/** @throws the error of the file system; Failure when it is no kit, or not one that this server made */
export async function readKit(path: string, identity: Identity): Promise<Kit> {
  return verifyKit(parseKit(await readSmallFile(path, { most: largestKit, follow: true }), path), identity, path);
}

/** Says what a kit does not hold of the VPN, and what it holds as the former one did. */
export function warnOfVpn(screen: Screen, { missing, kept }: MadeKit): void {
  for (const { path, reason } of missing) screen.warn(`the kit does not hold ${path}: ${reason}`);
  for (const { path, reason } of kept) {
    screen.warn(
      `the kit holds the VPN configuration as the former kit did, since ${path} cannot be looked at: ${reason}. If it has ` +
        'changed since, run `anemone-peer kit` as root',
    );
  }
}

/** Says what a kit does not hold of the VPN, without which a bare machine reaches no peer. */
export function tellMissing(screen: Screen, made: MadeKit): void {
  warnOfVpn(screen, made);
  if (made.kit.vpn.files.length > 0) return;
  screen.note(
    'The kit holds no VPN configuration: put it into wireguard/ beside the configuration, or name it with vpn.config, and ' +
      'run `anemone-peer kit`. Or note elsewhere how to join the VPN.',
  );
}

/**
 * Whoever names a place for a kit may have mistyped it: only an older kit is replaced there, and no folder is made.
 * @throws Failure `usage` when something else is there, or the folder is not
 */
export async function refuseOther(path: string): Promise<void> {
  const stats = await statsIfThere(path);
  if (stats === null) return needFolderOf(path);
  const isReadable = stats.isFile() && stats.size <= largestKit;
  if (isReadable && (await readFile(path, 'utf8')).includes(kitBegin)) return;
  throw new Failure('usage', `${path} is there already, and is no kit`, {
    hint: 'Name another file with -o, or write it to standard output with -o -.',
  });
}

/**
 * Writes the kit beside a configuration again, where there is one.
 * @returns null when there is none
 */
export async function refreshKit({ file }: Pick<Config, 'file'>, now: number): Promise<MadeKit | null> {
  const { config } = await loadConfig(file);
  const path = kitPath(config);
  if ((await stat(path).catch(() => null)) === null) return null;
  const { signer } = await loadServerIdentity(stateFolder(config));
  return writeKit(config, signer, now, path);
}
