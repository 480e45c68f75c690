import type { Stats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../mesh/config/config.js';
import { stateFolder } from '../server/state-folder.js';
import type { ForeignFiles } from './facts.js';

/**
 * What another user has of what a node has to use, as after a command, a copy or a restore by root. The state folder tells whose
 * node it is.
 * @returns null where this user may not look
 */
export async function findForeignFiles({ server, file }: Config): Promise<ForeignFiles | null> {
  const state = await stat(stateFolder({ server })).catch(() => null);
  const user = process.geteuid?.();
  if (state === null || (user !== 0 && user !== state.uid)) return null;
  const { uid, gid } = state;
  const places = await placesIn(await realpath(server.data), state);
  const found = await Promise.all(places.map(async (place) => ({ place, paths: await foreignIn(place, state) })));
  const configuration = await stat(file).catch(() => null);
  if (configuration !== null && isBarred(configuration, state)) found.push({ place: file, paths: [file] });
  // Root may use what is anybody's.
  const barred = found.filter(({ paths }) => uid !== 0 && paths.length > 0);
  return { uid, gid, paths: barred.flatMap(({ paths }) => paths), places: barred.map(({ place }) => place) };
}

/** What a node uses of its data folder. What else may lie there, such as `lost+found`, need not be its user's. */
const ours = /^(\.incoming|\.quarantine|\.state|[A-Za-z0-9-]+)$/;

async function placesIn(data: string, user: Stats): Promise<string[]> {
  if (isBarred(await stat(data), user)) return [data];
  const names = (await readdir(data)).filter((name) => ours.test(name));
  return names.sort().map((name) => join(data, name));
}

/** The path itself, or what is in the folder, as far as another user has it to himself; not what is in that. */
async function foreignIn(path: string, user: Stats): Promise<string[]> {
  const stats = await lstat(path).catch(() => null);
  if (stats === null) return [];
  if (isBarred(stats, user)) return [path];
  if (!stats.isDirectory()) return [];
  const names = await readdir(path).catch(() => []);
  return (await Promise.all(names.sort().map((name) => foreignIn(join(path, name), user)))).flat();
}

/** In which other groups the user of the node is, nobody can tell here; that of root is hardly one. */
function isBarred(stats: Stats, user: Stats): boolean {
  if (stats.uid === user.uid) return false;
  const wanted = stats.isDirectory() ? 0o7 : 0o4;
  const isOfGroup = stats.gid === user.gid || stats.gid !== 0;
  return ![stats.mode, isOfGroup ? stats.mode >> 3 : 0].some((bits) => (bits & wanted) === wanted);
}
