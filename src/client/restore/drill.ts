import { mkdtemp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { enabledPeers } from '../../mesh/peers/configured-peers.js';
import { kitSet, parseSetName } from '../../mesh/terms/backup-name.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { fewNames } from '../../mesh/terms/few-names.js';
import { type Drill, drillDocument } from '../render/drill.js';
import { formatDuration } from '../render/moments.js';
import { recordDrill } from '../server/drills.js';
import { stateFolder } from '../server/state-folder.js';
import { asUsage } from '../session/as-usage.js';
import type { Context, ExitCode } from '../session/context.js';
import { bringBack } from './bring-back.js';
import { type Chosen, findInMesh } from './choosing/find.js';
import { withRoom } from './download/disk-space.js';
import { downloadInto } from './download/download-into.js';
import { partPath } from './download/parts.js';
import { checkOwner, type Keys } from './opening/keys.js';
import { type BringBackOptions, limitsOf, type RestoreOptions } from './options.js';
import { isHeld, openTarget } from './place/target.js';
import { ageIdentityFor } from './source/source.js';
import { openBareMesh } from './source/visit.js';
import type { BroughtBack } from './telling/brought-back.js';
import { remainingAfter } from './telling/remaining.js';
import { reasonsOf } from './telling/result.js';
import { removeStaging, workFolder } from './unpack/staging.js';

/** What a drill came to. */
interface Tried {
  readonly drill: Drill;
  readonly outcome: BroughtBack;
  readonly makesServer: boolean;
}

const prefix = '.anemone-drill-';
/** Where the disk is full. */
const room = 'A drill needs as much room as a recovery would: make some, or try a smaller set, with --set.';

/**
 * Proves that this server can be brought back, as a bare machine would be: with nothing but the recovery key, from the
 * peers alone. Everything is fetched, verified, opened and unpacked into a temporary folder; only the last step is left
 * out. What it took is recorded. A lost machine that answers in the place of a peer proves nothing.
 * @throws Failure as a restore does; `wrong-key` for the key of another server
 */
export async function runDrill(
  context: Context,
  reference: string | undefined,
  options: RestoreOptions,
  keys: Keys,
): Promise<ExitCode> {
  const { screen, clock } = context;
  const config = await context.loadConfig();
  const self = await context.self();
  const peers = enabledPeers(config);
  if (peers.length === 0) {
    throw new Failure('config', 'a drill needs a peer, and the configuration has none that is enabled', {
      hint: 'anemone-peer peer add NAME --vpn-ip ADDR --identity KEY',
    });
  }
  const known = `${config.server.name} has the identity ${self.identity}`;
  const derived = await keys.recoveryKey((given) => checkOwner(given, self.identity, known));
  const set = options.set === undefined ? '' : asUsage('--set', () => parseSetName(options.set ?? ''));
  const times = [clock.monotonic()];
  const source = await openBareMesh(context, config.server.name, peers, derived);
  const { mesh } = source;
  try {
    const wanted = { reference: reference ?? (options.at === undefined ? 'latest' : undefined), at: options.at, set };
    const chosen = await findInMesh(context, source, wanted);
    times.push(clock.monotonic());
    const ageIdentity = await ageIdentityFor(chosen, mesh, derived, keys);
    const { facts } = chosen.manifest;
    const tryIn = async (folder: string): Promise<Tried> => {
      const sealed = await downloadInto(context, chosen, folder, ageIdentity, { resumable: false });
      try {
        times.push(clock.monotonic());
        const call = { ...everything(keys, options), target: folder, work: folder, place: config.base };
        const outcome = await bringBack(context, sealed, call);
        const { entries, bytes } = outcome;
        times.push(clock.monotonic());
        const [finding = 0, fetching = 0, opening = 0] = times
          .slice(1)
          .map((end, index) => end - (times[index] ?? end));
        const peers = Object.fromEntries([...sealed.received].map(([{ name }, given]) => [name, given]));
        const measured = { finding: Math.round(finding), fetching: Math.round(fetching), opening: Math.round(opening) };
        const about = { backup: facts.name, set: facts.set, size: facts.size };
        const drill = { at: clock.now(), ...about, unpacked: bytes, entries: entries.length, ...measured, peers };
        return { drill, outcome, makesServer: outcome.after.isBrought };
      } finally {
        await sealed.discard();
      }
    };
    const need = { label: facts.name, size: facts.size, isWhole: true, hint: room };
    const tried = await inDrillFolder(context, config.base, (folder) =>
      withRoom(context, { ...need, work: folder, part: partPath(folder, chosen.manifest) }, () => tryIn(folder)),
    );
    const unrecorded = await recordDrill(stateFolder(config), tried.drill).catch((thrown) => Failure.from(thrown));
    tellDrill(context, config.server.name, tried, otherSets(chosen));
    const again = { label: facts.name, config: config.file, options };
    const remaining = await remainingAfter(context, tried.outcome, { again, isTrial: true, isLook: false });
    if (remaining !== null) screen.note(remaining.words);
    if (unrecorded === undefined) return 0;
    screen.warn(`this is not recorded: ${unrecorded.message}`);
    return 3;
  } finally {
    mesh.close();
  }
}

function everything(keys: Keys, options: RestoreOptions): Omit<BringBackOptions, 'target' | 'work'> {
  return {
    keys,
    dryRun: true,
    yes: true,
    selection: null,
    question: () => '',
    ownership: false,
    limits: limitsOf(options),
  };
}

/** A new folder on the disk that a real recovery would use, removed at the end. */
async function inDrillFolder<T>({ screen }: Context, base: string, action: (folder: string) => Promise<T>): Promise<T> {
  const work = await workFolder(base);
  const stale = await staleIn(work);
  for (const warning of await removeStaging(stale)) screen.warn(warning);
  const folder = await mkdtemp(join(work, prefix));
  const { close } = await openTarget(folder);
  try {
    return await action(folder);
  } finally {
    await close();
    for (const warning of await removeStaging([folder])) screen.warn(warning);
  }
}

/** What killed drills left, those of other users too; one that is still at work is locked. */
async function staleIn(work: string): Promise<string[]> {
  const stale: string[] = [];
  for (const name of await readdir(work)) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(work, name);
    if (!(await isHeld(folder))) stale.push(folder);
  }
  return stale;
}

/** Sets of the same server that are held beside the one that was tried. */
function otherSets({ manifest, proven }: Chosen): string[] {
  const sets = new Set(proven.map(({ facts }) => facts.set));
  return [...sets].filter((set) => set !== manifest.facts.set && set !== kitSet);
}

function tellDrill({ screen }: Context, server: string, tried: Tried, notTried: readonly string[]): void {
  const { drill, makesServer, outcome } = tried;
  const proven = makesServer
    ? `${server} can be brought back.`
    : `${drill.backup} can be brought back. It holds no configuration, so it alone makes no machine ${server}.`;
  const result = {
    drill: drillDocument(drill),
    makes_server: makesServer,
    not_tried: notTried,
    elsewhere: outcome.elsewhere,
    absent: outcome.absent.map(({ written }) => written),
    unplaceable: reasonsOf(outcome.unplaceable),
  };
  screen.result(result, () => drillText(proven, drill, notTried));
}

function drillText(
  proven: string,
  { backup, size, unpacked, entries, finding, fetching, opening, peers }: Drill,
  notTried: readonly string[],
): string {
  const from = Object.entries(peers)
    .sort(([, a], [, b]) => b - a)
    .map(([name, given]) => `${name} (${formatByteSize(given)})`);
  const rate = fetching < 1 ? '' : `, ${formatByteSize(Math.round((size / fetching) * 1000))} a second`;
  return [
    `${proven} It would take ${formatDuration(finding + fetching + opening)} from here.`,
    `  found     ${backup} in ${formatDuration(finding)}`,
    `  fetched   ${formatByteSize(size)} in ${formatDuration(fetching)}${rate}, from ${fewNames(from)}`,
    `  opened    ${entries} entries, ${formatByteSize(unpacked)}, in ${formatDuration(opening)}`,
    ...notTried.map((set) => `  not tried: the set ${set} (--drill --set ${set})`),
  ].join('\n');
}
