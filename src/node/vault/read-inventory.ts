import { join } from 'node:path';
import type { Identity } from '../../mesh/identity/identity.js';
import { formatBackupName, parseBackupName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import { type Disk, isLost, isUnreadable, readSmallNow, syncFolder } from './disk.js';
import { readFacts, stateOf } from './facts-file.js';
import type { Owned } from './findings.js';
import { type Expected, longestSidecar, otherIdentity, readSidecar } from './held-entry.js';
import { Inventory } from './inventory.js';
import { backupInQuarantine, dataOfSidecar, type Layout, nameBeforeSettled, settledName, sidecarOf } from './layout.js';

export interface ReadInventoryOptions {
  readonly layout: Layout;
  readonly host: Hostname;
  readonly disk: Disk;
  identityOf(host: Hostname): Identity | null;
  /** Told of an owner of whose folder nothing that was written down counts. */
  unknown?(owner: Hostname): void;
  /** Told of a backup that was held and is not whole: what there is of it lies where it belongs. */
  lost?(name: string, why: string): void;
  /** Told of the sidecar of a backup that was on its way in or out when a process was killed. */
  unfinished?(sidecar: string): void;
}

interface FolderOptions extends ReadInventoryOptions {
  /** The files of backups that are on their way in or out. */
  readonly incoming: ReadonlySet<bigint | undefined>;
}

/** Made by the file system itself, at the top of a disk. */
const notOurs = 'lost+found';

/**
 * Reads what is on the disk, and changes nothing. A backup is data and a sidecar that fit each other; everything else
 * becomes a finding.
 */
export async function readInventory(options: ReadInventoryOptions): Promise<Inventory> {
  const { layout, host, disk } = options;
  const inventory = new Inventory(options.identityOf);
  const { findings } = inventory;
  const incoming = await inodesIn(disk, layout.incoming);
  /** What cannot be read of one peer must not keep all others from theirs. */
  const passOver = (owner: Hostname, folder: string, thrown: unknown): void => {
    if (owner === host || !isUnreadable(thrown)) throw thrown;
    const { message } = Failure.from(thrown);
    findings.lock(folder, `cannot be read, so nothing of ${owner} is shown or taken: ${message}. ${mendOf(thrown)}`);
  };
  for (const item of await disk.readdir(layout.data, { withFileTypes: true })) {
    const path = join(layout.data, item.name);
    if (item.name.startsWith('.') || item.name === notOurs) continue;
    const owner = path === layout.local ? host : orNull(() => parseHostname(item.name));
    if (owner === null || !item.isDirectory()) findings.report(path, 'is not the folder of a server');
    else if (layout.folderOf(owner) !== path) findings.report(path, `is not read: ${owner} keeps its own in local/`);
    else await readFolder(owner, { ...options, incoming }, inventory).catch((thrown) => passOver(owner, path, thrown));
  }
  await readQuarantine(options, inventory);
  return inventory;
}

async function readQuarantine(options: ReadInventoryOptions, inventory: Inventory): Promise<void> {
  const { disk, layout } = options;
  const { findings } = inventory;
  const names: ReadonlySet<string> = new Set(await disk.readdir(layout.quarantine));
  for (const name of names) {
    const before = nameBeforeSettled(name) ?? name;
    const data = dataOfSidecar(before) ?? before;
    // Of a file that had vanished, the manifest lies there alone.
    if (data !== before && (names.has(data) || names.has(settledName(data)))) continue;
    if (before !== name) {
      findings.settleAside(layout.quarantined(data), layout.quarantined(name));
      continue;
    }
    const [path, what] = [layout.quarantined(name), 'was put into quarantine'];
    const named = backupInQuarantine(data);
    if (named === null) {
      findings.report(path, what);
      continue;
    }
    const backup = { name: formatBackupName(named), owner: named.owner };
    findings.note('aside', path, backup, what);
    await readHalfMoved(backup, layout.quarantined(data), options, inventory);
  }
}

/** A damaged copy that lies where its backup belongs as well: the process was killed that moved it. */
async function readHalfMoved(
  backup: Owned,
  moved: string,
  { disk, layout, lost, unknown }: ReadInventoryOptions,
  inventory: Inventory,
): Promise<void> {
  const { name, owner } = backup;
  const { data } = layout.backup(name);
  const [there, here] = await inodesOf(disk, [moved, data]);
  if (there === undefined || there !== here) return;
  inventory.drop(name);
  const why = 'it was on its way there when the node ended';
  inventory.findings.note('lost', data, backup, `is in quarantine as well: ${why}`);
  unknown?.(owner);
  lost?.(name, why);
}

async function readFolder(owner: Hostname, options: FolderOptions, inventory: Inventory): Promise<void> {
  const folder = options.layout.folderOf(owner);
  const { disk, host, layout } = options;
  const { findings } = inventory;
  // A process that was killed may have linked a backup without syncing the folder: from here on it counts, so it must last.
  await syncFolder(disk, folder);
  const expected = { owner, own: owner === host, identity: options.identityOf(owner) };
  const known = await readFacts(disk, layout.factsOf(owner), expected, await stateOf(disk, folder));
  if (known.isCurrent) {
    for (const entry of known.entries) inventory.add(entry);
    return;
  }
  const before = new Set(known.entries.map(({ name }) => name));
  options.unknown?.(owner);
  const names = new Set(await disk.readdir(folder));
  const pairs: string[] = [];
  const alone: string[] = [];
  /** How many backups of other servers are here, as where this one was called otherwise before. */
  const strangers = new Map<Hostname, number>();
  for (const name of names) {
    const data = dataOfSidecar(name);
    if (data !== null && names.has(data)) continue;
    const named = orNull(() => parseBackupName(data ?? name).owner);
    if (named === null) findings.report(join(folder, name), `is not a backup of ${owner}; it is left alone`);
    else if (named !== owner) strangers.set(named, (strangers.get(named) ?? 0) + 1);
    else if (data !== null) alone.push(data);
    else if (names.has(sidecarOf(name))) pairs.push(name);
    else if (before.has(name)) {
      // Of what is removed, the data goes first: this one was held, and has lost its manifest.
      findings.note('lost', join(folder, name), { name, owner }, 'is a backup without a manifest');
      options.lost?.(name, 'its manifest has vanished');
    } else findings.report(join(folder, name), 'is a backup without a manifest');
  }
  for (const [other, count] of strangers) {
    const what = count === 1 ? `1 backup of ${other}` : `${count} backups of ${other}`;
    const left = count === 1 ? 'it is left alone' : 'they are left alone';
    findings.report(join(folder, `anemone-<SET>-${other}-<TIME>.enc`), `${what}, not of ${owner}; ${left}`);
  }
  const scratch = Buffer.allocUnsafe(longestSidecar + 1);
  // In the order in which they came, which is about the one in which they lie on the disk.
  for (const name of pairs.sort()) readPair({ ...expected, name }, scratch, options, inventory);
  for (const name of alone) readSidecarAlone({ ...expected, name }, scratch, options, inventory);
}

function readPair(pair: Expected, scratch: Buffer, options: ReadInventoryOptions, inventory: Inventory): void {
  const { layout, disk } = options;
  const data = join(layout.folderOf(pair.owner), pair.name);
  const sidecar = sidecarOf(data);
  let looked = data;
  let bytes: Buffer | null = null;
  try {
    const stat = disk.lstatSync(data);
    if (!stat.isFile()) throw new Failure('damaged', 'is not an ordinary file');
    looked = sidecar;
    bytes = readSmallNow(disk, sidecar, scratch);
    if (bytes === null) throw new Failure('damaged', 'it is too long');
    const entry = readSidecar(bytes, pair);
    looked = data;
    if (stat.size !== entry.size) {
      throw new Failure('damaged', `has ${stat.size} bytes where its manifest says ${entry.size}`);
    }
    inventory.add(entry);
  } catch (thrown) {
    const { kind, message } = Failure.from(thrown);
    const other = bytes === null ? null : otherIdentity(bytes, pair);
    const what = looked === data ? message : `is not a manifest to rely on: ${message}`;
    const { findings } = inventory;
    // In each case but one, its owner hears of it, and can send it again. What the disk did not read just now may be whole.
    if (isLost(thrown)) findings.note('unread', looked, pair, what);
    else if (isUnreadable(thrown)) findings.lock(looked, `${what}. ${mendOf(thrown)}`);
    else if (other !== null) findings.leave(sidecar, pair.owner, other);
    else if (kind === 'damaged' || kind === 'untrusted') {
      findings.note('lost', looked, pair, what);
      options.lost?.(pair.name, looked === data ? `its file ${message}` : `its manifest is not to rely on: ${message}`);
    } else findings.report(looked, what);
  }
}

/** Of a backup that was held, a manifest alone is what is left. One that is not to rely on may be anybody's. */
function readSidecarAlone(expected: Expected, scratch: Buffer, options: FolderOptions, inventory: Inventory): void {
  const { layout, disk, incoming } = options;
  const data = join(layout.folderOf(expected.owner), expected.name);
  const sidecar = sidecarOf(data);
  const what = 'is a manifest without its backup';
  inventory.findings.report(sidecar, what);
  try {
    const bytes = readSmallNow(disk, sidecar, scratch);
    if (bytes === null) return;
    readSidecar(bytes, expected);
    // While a backup is committed or removed, its manifest has a second name there. Others are no business of a start: a
    // person may keep copies of the folder as links.
    if (incoming.has(disk.lstatSync(sidecar, { bigint: true }).ino)) options.unfinished?.(sidecar);
    else {
      inventory.findings.note('lost', sidecar, expected, what);
      options.lost?.(expected.name, 'its file has vanished');
    }
  } catch {
    // It stays where it is, for a person to look at.
  }
}

async function inodesIn(disk: Disk, folder: string): Promise<Set<bigint | undefined>> {
  const files = await disk.readdir(folder);
  return new Set(
    await inodesOf(
      disk,
      files.map((file) => join(folder, file)),
    ),
  );
}

/** Of each path; undefined where there is nothing to be seen. */
function inodesOf(disk: Disk, paths: readonly string[]): Promise<(bigint | undefined)[]> {
  const inodeOf = async (path: string): Promise<bigint> => (await disk.lstat(path, { bigint: true })).ino;
  return Promise.all(paths.map((path) => inodeOf(path).catch(() => undefined)));
}

/** What a person has to do about what could not be read. */
function mendOf(thrown: unknown): string {
  const mend = isLost(thrown) ? 'Look at the disk' : "Give it to the node's user (chown -R)";
  return `${mend}, and restart the node, which reads it at its start`;
}

/** What a name says; null for one that is not of this kind. */
function orNull<T>(parse: () => T): T | null {
  try {
    return parse();
  } catch {
    return null;
  }
}
