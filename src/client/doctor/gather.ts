import { readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import type { Config } from '../../mesh/config/config.js';
import { findConfig } from '../../mesh/config/find.js';
import { loadConfig } from '../../mesh/config/load.js';
import { readSeenKeys } from '../../mesh/identity/seen-keys.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { factsOf } from '../../mesh/kit/kit.js';
import { findVpn } from '../../mesh/kit/vpn-files.js';
import { kitSet } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { partsIn } from '../restore/download/parts.js';
import { stagingIn } from '../restore/unpack/staging.js';
import { lastDrill } from '../server/drills.js';
import { freeSpace } from '../server/free-space.js';
import { kitPath, readKit } from '../server/kit-file.js';
import { ownRecipientFile, readOwnRecipient } from '../server/own-recipient.js';
import { seenKeysFile, stateFolder } from '../server/state-folder.js';
import { askOwnNode } from '../session/ask-own-node.js';
import { askNodes } from '../session/ask-peers.js';
import type { Context } from '../session/context.js';
import { overdueBefore } from '../session/overdue.js';
import { openMesh } from '../survey/mesh.js';
import { survey } from '../survey/survey.js';
import type { DoctorFacts, KeyFacts, KeyFile, KitFacts, NewestBackup, TcpFacts } from './facts.js';
import { findForeignFiles } from './foreign-files.js';

/**
 * Gathers everything that the checks look at. What cannot be asked is a fact too.
 * @throws Failure `config` when the configuration is wrong; `interrupted`
 */
export async function gatherFacts(context: Context): Promise<DoctorFacts> {
  const { config, hints } = await loadConfig(findConfig(context.flags.config, context.env, context.cwd));
  const self = await context.self().catch((thrown: unknown) => Failure.from(thrown));
  const [keys, foreign, proven, free, node, tcp, parts, staging, drill] = await Promise.all([
    keyFacts(config, self),
    findForeignFiles(config),
    self instanceof Failure ? unproven : provenFacts(context, config, self),
    freeSpace(config.server.data),
    askOwnNode(context, config, (own, signal) => own.getStatus(signal)),
    tcpFacts(),
    partsIn(config.base),
    leftIn([config.base, dirname(config.file)]),
    lastDrill(stateFolder(config)),
  ]);
  const { version, clock } = context;
  const now = clock.now();
  const overdue = overdueBefore(config, now);
  const nodeVersion = process.versions.node;
  const here = { keys, foreign, free, node, tcp, parts, staging, drill };
  return { now, version, nodeVersion, config, hints, overdue, ...here, ...proven };
}

/** What restores that were cut off left: in a container, `config/` is a mount of its own, into which they copy. */
async function leftIn(folders: readonly string[]): Promise<readonly string[]> {
  const left = await Promise.all([...new Set(folders)].map((folder) => stagingIn(folder).catch(() => [])));
  return left.flat();
}

/** What only a server that can prove who it is can ask, or tell from another's. */
type ProvenFacts = Pick<DoctorFacts, 'ownRecipient' | 'peers' | 'listed' | 'held' | 'newest' | 'kit'>;

const unproven: ProvenFacts = { ownRecipient: null, peers: [], listed: [], held: new Set(), newest: [], kit: null };

async function provenFacts(context: Context, config: Config, self: ServerIdentity): Promise<ProvenFacts> {
  const [ownRecipient, answers, backups, kit] = await Promise.all([
    recipientFacts(config, self),
    askNodes(context),
    newestBackups(context),
    kitFacts(config, self),
  ]);
  return { ownRecipient, peers: [...answers].map(([name, answer]) => ({ name, answer })), ...backups, kit };
}

async function keyFacts(config: Config, self: ServerIdentity | Failure): Promise<KeyFacts> {
  const state = stateFolder(config);
  const { encryption, sets } = config.backup;
  const secrets: Pick<KeyFile, 'path' | 'holds'>[] = [
    { path: state, holds: 'state' },
    { path: join(state, 'node.key'), holds: 'node key' },
  ];
  if (encryption.format === 'anemone-cbc1') secrets.push({ path: encryption.passwordFile, holds: 'password' });
  for (const { source } of sets) {
    if (source.kind === 'url' && source.credentialsFile !== null) {
      secrets.push({ path: source.credentialsFile, holds: 'credentials' });
    }
  }
  const files: KeyFile[] = [];
  for (const secret of secrets) {
    const status = await stat(secret.path).catch(() => null);
    if (status !== null) files.push({ ...secret, mode: status.mode & 0o7777, owner: status.uid });
  }
  const user = files.find(({ holds }) => holds === 'state')?.owner ?? null;
  if (self instanceof Failure) {
    const isBarred = (self.cause as NodeJS.ErrnoException | undefined)?.code === 'EACCES';
    const isOfAnother = isBarred && user !== process.geteuid?.();
    return { certificate: self, isOfAnother, seenKeys: null, user, files };
  }
  const seenKeys = await readSeenKeys(seenKeysFile(config)).then(() => null, Failure.from);
  return { certificate: self.certificate, isOfAnother: false, seenKeys, user, files };
}

async function recipientFacts(config: Config, { identity }: ServerIdentity): Promise<ProvenFacts['ownRecipient']> {
  const state = stateFolder(config);
  const key = await readOwnRecipient(state, identity);
  return key === null ? null : { key, file: ownRecipientFile(state) };
}

async function newestBackups(context: Context): Promise<Pick<ProvenFacts, 'listed' | 'held' | 'newest'>> {
  const mesh = await openMesh(context);
  try {
    const { answers, backups } = await survey(context, mesh, { owner: mesh.owner, set: '' });
    const newest = new Map<string, NewestBackup & { readonly sequence: number }>();
    const held = new Set<string>();
    for (const { standing, copies } of backups) {
      if (standing.kind !== 'verified') continue;
      held.add(standing.manifest.facts.name);
      const { set, name, size, createdAtMs: createdAt, sequence } = standing.manifest.facts;
      if (set === kitSet || sequence <= (newest.get(set)?.sequence ?? 0)) continue;
      const proven = copies.filter(({ receivedAt }) => receivedAt !== null);
      newest.set(set, { set, name, size, createdAt, sequence, holders: proven.map(({ holder }) => holder.name) });
    }
    const listed = answers.flatMap((answer) => ('failure' in answer ? [] : [answer.holder.name]));
    return { listed, held, newest: [...newest.values()] };
  } finally {
    mesh.close();
  }
}

async function kitFacts(config: Config, { identity }: ServerIdentity): Promise<KitFacts> {
  const path = kitPath(config);
  const expected = factsOf(config, identity);
  const { files, missing } = await findVpn(config);
  const vpn = await Promise.all(
    files.map(async (file) => ({
      path: file.path,
      changedAt: (await stat(file.path).catch(() => null))?.mtimeMs ?? 0,
    })),
  );
  const sealable = expected.recipients.length > 0 ? vpn : [];
  const known = { path, expected, vpn: sealable, missing };
  try {
    const found = await readKit(path, identity);
    return { ...known, found, writtenAt: (await stat(path)).mtimeMs };
  } catch (thrown) {
    const isMissing = (thrown as NodeJS.ErrnoException).code === 'ENOENT';
    return { ...known, found: isMissing ? null : Failure.from(thrown, path), writtenAt: 0 };
  }
}

/** Among those in use, built in, or there to be loaded. */
async function kernelHasBbr(): Promise<boolean> {
  const modules = `/lib/modules/${release()}`;
  const places = [
    '/proc/sys/net/ipv4/tcp_available_congestion_control',
    `${modules}/modules.builtin`,
    `${modules}/modules.dep`,
  ];
  const texts = await Promise.all(places.map((place) => readFile(place, 'utf8').catch(() => '')));
  return texts.some((text) => /\b(tcp_)?bbr\b/.test(text));
}

/** Linux counts what was sent again; other systems are not asked. */
async function tcpFacts(): Promise<TcpFacts | null> {
  try {
    const congestion = (await readFile('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8')).trim();
    const [names = '', values = ''] = (await readFile('/proc/net/snmp', 'utf8'))
      .split('\n')
      .filter((line) => line.startsWith('Tcp:'));
    const words = values.split(' ');
    const of = (name: string): number => Number(words[names.split(' ').indexOf(name)] ?? 0);
    return { congestion, hasBbr: await kernelHasBbr(), sent: of('OutSegs'), resent: of('RetransSegs') };
  } catch {
    return null;
  }
}
