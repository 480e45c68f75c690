import { kitSet, parseSetName } from '../../mesh/terms/backup-name.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { fewNames } from '../../mesh/terms/few-names.js';
import { parseHostname } from '../../mesh/terms/hostname.js';
import { growYoungSpace } from '../../mesh/terms/spare-memory.js';
import { drillDocument, drillInWords, type LastDrill } from '../render/drill.js';
import type { Look } from '../render/look.js';
import { formatMoment } from '../render/moments.js';
import { peerHints } from '../render/peer-hints.js';
import { type Cell, renderTable } from '../render/table.js';
import { lastDrill } from '../server/drills.js';
import { stateFolder } from '../server/state-folder.js';
import { asUsage } from '../session/as-usage.js';
import type { Context, ExitCode } from '../session/context.js';
import type { Answer, FoundBackup, Survey } from '../survey/found.js';
import { heldBy } from '../survey/held-by.js';
import { type Mesh, openMesh } from '../survey/mesh.js';
import { nobodyAnswered, peersDocument, silence, survey, tellFindings } from '../survey/survey.js';

export interface ListOptions {
  readonly peer?: string;
  readonly set?: string;
}

/**
 * What the whole mesh holds: one line a backup, newest first, and everyone who did not answer.
 * @throws Failure `not-found` when a host or a set was asked for and nobody has it; `unreachable` when nobody answered
 */
export async function listMesh(context: Context, host: string | undefined, options: ListOptions): Promise<ExitCode> {
  const owner = host === undefined ? '' : asUsage('the host', () => parseHostname(host));
  const set = options.set === undefined ? '' : asUsage('--set', () => parseSetName(options.set ?? ''));
  growYoungSpace();
  const mesh = await openMesh(context, options.peer);
  try {
    const found = withoutKits(await survey(context, mesh, { owner, set }, 'brief'), set);
    const { screen, clock } = context;
    const nobody = nobodyAnswered(found);
    if (nobody !== null) throw nobody;
    const silent = found.answers.flatMap((answer) => ('failure' in answer ? [answer] : []));
    if (found.backups.length === 0 && (owner !== '' || set !== '')) throw nothing(owner, set, silent);
    const drill = await lastDrill(stateFolder(await context.loadConfig()));
    screen.result(listDocument(mesh, found, drill), (look) => listText(look, found, clock.now()));
    const hints = silent.flatMap(({ holder: { name }, failure: { hint } }) => (hint ? { name, hint } : []));
    for (const hint of peerHints(hints)) screen.note(hint);
    tellFindings(context, found.findings);
    screen.note(summary(found));
    screen.note(drillInWords(drill, clock.now()));
    return silent.length > 0 ? 3 : 0;
  } finally {
    mesh.close();
  }
}

/** Kits are shown only to who asks for them: they travel along, and bring nothing back by themselves. */
function withoutKits(found: Survey, set: string): Survey {
  return set === kitSet ? found : { ...found, backups: found.backups.filter(({ facts }) => facts.set !== kitSet) };
}

/** The answer for programs; the keys up to `peer_ip` are the predecessor's. */
function listDocument(mesh: Mesh, { answers, backups, findings }: Survey, drill: LastDrill): object {
  const rows = backups.flatMap((backup) => listRows(mesh, backup));
  const peers = peersDocument(answers);
  return { server: mesh.owner, backups: rows, total: rows.length, peers, findings, drill: drillDocument(drill) };
}

/** A row for each copy; what is the same in all of them is made once. */
function listRows({ owner }: Mesh, { name, facts, standing, copies }: FoundBackup): object[] {
  const made = new Date(name.time).toISOString();
  const [date, time] = [made.slice(0, 10), made.slice(11, 19)];
  const timestamp = `${date.replaceAll('-', '')}-${time.replaceAll(':', '')}`;
  const sha256 = Buffer.from(facts.sha256).toString('hex');
  const createdAt = new Date(facts.createdAtMs).toISOString();
  return copies.map(({ holder, receivedAt, doubt }) => ({
    filename: facts.name,
    path: `${holder.place === 'local' && facts.owner === owner ? 'local' : facts.owner}/${facts.name}`,
    size: facts.size,
    timestamp,
    date,
    time,
    peer_name: holder.name,
    peer_ip: holder.place,
    owner: facts.owner,
    set: facts.set,
    sha256,
    created_at: createdAt,
    received_at: receivedAt === null ? null : new Date(receivedAt).toISOString(),
    sequence: facts.sequence,
    verified: standing.kind === 'verified',
    problem: standing.kind === 'verified' ? doubt : standing.reason,
  }));
}

/** Backups in the table of owners that are not known here: whoever answers could show any number of them. */
const mostOfStrangers = 50;

/** What is forged is told as a finding; in the table it could stand on top of everything, with a time to come. */
function listText(look: Look, found: Survey, now: number): string {
  const { answers, backups } = found;
  const headings = ['BACKUP', 'OWNER', 'SIZE', 'AGE', 'HELD BY', 'VERIFIED'];
  const genuine = backups.filter(isGenuine);
  const leftOut = new Set(genuine.filter(({ standing }) => standing.kind === 'unknown-owner').slice(mostOfStrangers));
  const shown = genuine.filter((backup) => !leftOut.has(backup));
  const table = renderTable(
    look,
    headings,
    shown.map((backup) => backupCells(look, backup, found, now)),
  );
  const more =
    leftOut.size === 0
      ? ''
      : look.warning(
          `… and ${leftOut.size} more of owners that are not known here; \`anemone-peer list --json\` has all`,
        );
  const silent = answers.flatMap((answer) => ('failure' in answer ? [look.warning(silence(answer))] : []));
  const parts = [shown.length === 0 ? 'no backups' : table, more, silent.join('\n')];
  return parts.filter((part) => part !== '').join(look.terminal ? '\n\n' : '\n');
}

function isGenuine({ standing }: FoundBackup): boolean {
  return standing.kind !== 'forged';
}

/** A line about a backup: name, owner, size, age, holders, and whether its owner is known here. One that is has signed it. */
function backupCells(look: Look, { facts, standing, copies }: FoundBackup, found: Survey, now: number): Cell[] {
  const isVerified = standing.kind === 'verified';
  return [
    facts.name,
    facts.owner,
    formatByteSize(facts.size),
    formatMoment(facts.createdAtMs, now),
    heldBy(copies, found),
    isVerified ? { text: 'yes', dress: look.good } : { text: 'unknown owner', dress: look.warning },
  ];
}

function summary({ answers, backups }: Survey): string {
  const names = answers.filter((answer) => 'held' in answer).map(({ holder }) => holder.name);
  const count = backups.filter(isGenuine).length;
  return `${count} ${count === 1 ? 'backup' : 'backups'}; asked and answered: ${fewNames(names)}`;
}

function nothing(owner: string, set: string, silent: readonly Answer[]): Failure {
  const what = [owner === '' ? '' : ` of ${owner}`, set === '' ? '' : ` in the set ${set}`].join('');
  const names = silent.map(({ holder }) => holder.name).join(', ');
  return new Failure('not-found', `nobody who answered has a backup${what}`, {
    hint: names === '' ? '`anemone-peer list` shows what there is.' : `${names} did not answer.`,
  });
}
