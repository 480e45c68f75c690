import { lstat, stat } from 'node:fs/promises';
import { kitSet } from '../../../mesh/terms/backup-name.js';
import { printable } from '../../../mesh/terms/clean-text.js';
import { fewNames } from '../../../mesh/terms/few-names.js';
import { shellWord } from '../../../mesh/terms/shell-word.js';
import type { Context } from '../../session/context.js';
import type { SealedFile } from '../opening/sealed-file.js';
import type { Rebuilt } from '../takeover/rebuild.js';
import { type BroughtBack, inWords } from './brought-back.js';
import { tellLostOwners } from './lost-owners.js';
import type { Remaining } from './remaining.js';
import type { Again } from './second-command.js';

/** Everything there is to tell about a restore that worked. */
export interface Restored {
  readonly sealed: SealedFile;
  readonly target: string;
  readonly dryRun: boolean;
  readonly outcome: BroughtBack;
  /** Null where this machine did not become the server. */
  readonly rebuilt: Rebuilt | null;
  /** How another call finds the same backup. */
  readonly again: Again;
  /** What is still to do, after which all is where it belongs. */
  readonly remaining: Remaining | null;
}

type Telling = Pick<Context, 'screen' | 'env'>;

/** Says what was restored where, what lies beside it now, and what to do next. */
export async function tellRestored(context: Telling, restored: Restored): Promise<void> {
  const { screen } = context;
  screen.result(restoredDocument(restored), () => (restored.dryRun ? dryRunText(restored) : doneText(restored)));
  if (restored.remaining !== null) screen[restored.remaining.matters ? 'warn' : 'note'](restored.remaining.words);
  if (!restored.dryRun) await tellOwner(context, restored);
  if (restored.rebuilt !== null) tellRebuilt(context, restored.rebuilt, restored.sealed);
}

function restoredDocument({ sealed, target, dryRun, outcome, rebuilt }: Restored): object {
  const { format, entries, bytes, comparison, elsewhere, absent, unplaceable, switched } = outcome;
  return {
    backup: sealed.manifest?.facts.name ?? sealed.label,
    format,
    verified: sealed.manifest !== null,
    target,
    dry_run: dryRun,
    bytes,
    entries: entries.length,
    added: comparison.added,
    changed: comparison.changed,
    untouched: comparison.same.length,
    dropped: comparison.dropped,
    switched,
    elsewhere,
    absent: absent.map(({ written }) => written),
    unplaceable: reasonsOf(unplaceable),
    rebuilt,
  };
}

/** What makes a machine the server after a restore that brought no configuration. */
export function noConfiguration(owner: string): string {
  return (
    `There is no config.yaml yet, so this machine is not ${owner}: restore the set that has it. One that has another name ` +
    'is named with --config, by its path here: the same command with it makes this machine the server.'
  );
}

/** What makes a machine the server after a restore that brought all but something. */
export function withoutParts(owner: string): string {
  return (
    `This machine is not ${owner} yet, since a part was left out: the same command without --exclude makes it the server, ` +
    'once nothing stands in the way of that part.'
  );
}

/** After a restore from a file: what makes a machine the server that is none. */
export function noServer(owner: string): string {
  return (
    'The files are in place, but this machine is no server of a mesh. To have it take its place there, with its ' +
    `recovery key: anemone-peer restore --server ${owner} --peer ADDRESS`
  );
}

/** For documents. */
export function reasonsOf(unplaceable: BroughtBack['unplaceable']): readonly { path: string; reason: string }[] {
  return unplaceable.map(({ path, why }) => ({ path, reason: why.message }));
}

function dryRunText({ sealed, target, outcome: { comparison, format } }: Restored): string {
  const lines = [
    ...comparison.added.map((path) => `new        ${path}`),
    ...comparison.changed.map((path) => `changed    ${path}`),
    ...comparison.dropped.map((path) => `not in it  ${path}`),
  ];
  return [...lines, `${sealed.label} (${format}) into ${target}: ${inWords(comparison)}; nothing was written`]
    .map((line) => printable(line))
    .join('\n');
}

function doneText({ sealed, target, outcome: { switched, comparison, format } }: Restored): string {
  const lines = switched.map(({ path, previous }) =>
    previous === null ? `restored  ${path}` : `restored  ${path}  (before: ${previous})`,
  );
  return [...lines, `${sealed.label} (${format}) is in place in ${target}: ${inWords(comparison)}`]
    .map((line) => printable(line))
    .join('\n');
}

/** Root may have restored into the folder of another user, such as that of the node, who may not read it then. */
async function tellOwner(context: Telling, restored: Restored): Promise<void> {
  const { target, outcome, rebuilt } = restored;
  const { uid, gid } = await stat(target);
  const written = [...outcome.switched.map(({ path }) => path), ...(rebuilt === null ? [] : [rebuilt.data])];
  if (uid === 0) {
    await tellLostOwners(context, restored);
    const command = `chown -R USER ${written.map(shellWord).join(' ')}`;
    if (rebuilt !== null && process.geteuid?.() === 0)
      context.screen.note(
        `All of it belongs to root. Where the node runs as another user, as a service does: ${command}`,
      );
    return;
  }
  const owners = await Promise.all(written.map((path) => lstat(path).catch(() => null)));
  const ofRoot = written.filter((_path, index) => owners[index]?.uid === 0);
  if (ofRoot.length === 0) return;
  const command = `chown -R ${uid}:${gid} ${ofRoot.map(shellWord).join(' ')}`;
  context.screen.warn(
    `What was restored belongs to root, and ${target} to another user, who may not be able to read it. If that is the ` +
      `user of the node: ${command}`,
  );
}

function tellRebuilt(
  { screen, env }: Telling,
  { config, accepted, refusing, untold, moved, absentAddress, sequences, running }: Rebuilt,
  restored: SealedFile,
): void {
  const sets = Object.entries(sequences).map(([set, sequence]) => `${set} after number ${sequence}`);
  const who = accepted.length > 0 ? `Taken by ${fewNames(accepted)}` : 'No peer has taken it yet';
  screen.note(`This machine has a new node key. ${who}; whoever takes it refuses the former one.`);
  for (const peer of refusing) {
    screen.warn(
      `${peer} refuses the new node key: it has seen one that is newer still, as of a restore that this one knew nothing of. ` +
        'Give the same command again.',
    );
  }
  for (const { peer, reason } of untold) {
    screen.warn(
      `${peer} does not know the new node key yet: ${reason}. It takes it when the node first calls it; until then it ` +
        'does not refuse the former one, and backups that only it holds may not have been seen.',
    );
  }
  for (const { peer, configured, reached } of moved) {
    screen.warn(
      `${peer} was reached at ${reached}, and ${config} has ${configured}: if it has moved, write its new address there ` +
        'before the node is started. Without it, nothing is delivered to it.',
    );
  }
  if (sets.length > 0) {
    const leftOut = 'The thousand numbers that follow are left out: a peer that is away may have some.';
    screen.note(`The next backups go on: ${sets.join(', ')}. ${leftOut}`);
  }
  const own = restored.manifest?.facts.set;
  const others = Object.keys(sequences).filter((set) => set !== own && set !== kitSet);
  if (others.length > 0) {
    screen.note(`Other sets can be restored too: ${others.join(', ')}. One by one, as with: --set ${others[0]}`);
  }
  // From a checkout the programs are started with npx only.
  const npx = env['npm_command'] === 'exec' ? 'npx ' : '';
  const start = `${npx}anemone-node --config ${shellWord(config)}`;
  if (absentAddress !== null) {
    screen.warn(
      `This machine has no address ${absentAddress}, where ${config} has the node listen. Join the VPN with it. Or write the ` +
        'address of this machine to `server.listen` before the node is started, and on every other server give it to ' +
        '`anemone-peer peer add`, with the same name and identity.',
    );
  }
  if (running) {
    screen.warn(
      'The node is running with the former node key, and whoever has taken the new one refuses it. Restart it now: ' +
        `\`systemctl restart anemone-node\`, \`docker compose restart\`, or end it and start ${start}`,
    );
  } else {
    // Where a service has its own user, what root started by hand would keep from it what it makes.
    screen.note(
      `Start the node now: \`systemctl start anemone-node\`, \`docker compose up -d\`, or, with neither: ${start}`,
    );
  }
}
