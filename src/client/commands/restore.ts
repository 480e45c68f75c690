import { resolve } from 'node:path';
import { isSameFolder } from '../../mesh/files/real-path.js';
import { parseSetName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { bringBack } from '../restore/bring-back.js';
import { type Chosen, findInMesh } from '../restore/choosing/find.js';
import type { ConfigAfter } from '../restore/configuration/config-after.js';
import { refuseFolderOfAnother, type ServerHere, serverHere } from '../restore/configuration/server-here.js';
import { roomForRestore, withRoom } from '../restore/download/disk-space.js';
import { downloadInto } from '../restore/download/download-into.js';
import { partPath, removeParts } from '../restore/download/parts.js';
import { runDrill } from '../restore/drill.js';
import { sealedFromFile } from '../restore/opening/from-file.js';
import { type Keys, keysFrom } from '../restore/opening/keys.js';
import type { SealedFile } from '../restore/opening/sealed-file.js';
import {
  type BringBackOptions,
  bringBackOptionsOf,
  checkCall,
  isAllBut,
  isWhole,
  plainQuestion,
  type RestoreOptions,
} from '../restore/options.js';
import { openTarget, openTrial, type Target } from '../restore/place/target.js';
import { ageIdentityFor, openSource } from '../restore/source/source.js';
import type { Bare } from '../restore/source/visit.js';
import { isServerAlready, missesData, refuseBesideLiving } from '../restore/takeover/living-server.js';
import { type Rebuilt, rebuild } from '../restore/takeover/rebuild.js';
import { remainingAfter } from '../restore/telling/remaining.js';
import { noConfiguration, noServer, tellRestored, withoutParts } from '../restore/telling/result.js';
import { configNamedBy } from '../restore/telling/second-command.js';
import { checkInside } from '../restore/unpack/folder-chain.js';
import { removeStaleStaging } from '../restore/unpack/staging.js';
import { asUsage } from '../session/as-usage.js';
import type { Context, ExitCode } from '../session/context.js';
import type { Mesh } from '../survey/mesh.js';

/** Brings a server back: from the mesh, or from a file. */
export async function restore(
  context: Context,
  reference: string | undefined,
  options: RestoreOptions,
): Promise<ExitCode> {
  checkCall(context, reference, options);
  await checkInside();
  const keys = keysFrom(context, options.keyStdin ?? false);
  if (options.drill === true) return runDrill(context, reference, options, keys);
  try {
    return options.from === undefined
      ? await restoreFromMesh(context, reference, options, keys)
      : await restoreFromFile(context, options.from, options, keys);
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.kind !== 'interrupted' || failure.hint !== undefined) throw failure;
    // Nothing that can be interrupted comes after the switch.
    throw new Failure('interrupted', 'nothing was restored', { cause: failure });
  }
}

async function restoreFromFile(context: Context, from: string, options: RestoreOptions, keys: Keys): Promise<ExitCode> {
  const here = await serverHere(context);
  const target = resolve(context.cwd, options.target ?? here?.base ?? '.');
  const sealed = await sealedFromFile({
    path: resolve(context.cwd, from),
    allowUnauthenticated: options.allowUnauthenticated ?? false,
    owners: here?.owners ?? null,
    accept: async (owner) => {
      if (options.target === undefined) await refuseFolderOfAnother(here, owner, target);
    },
    keys,
    signal: context.signal,
    warn: context.screen.warn,
  });
  try {
    return await restoreSealed(context, sealed, { here, target, options, keys });
  } finally {
    await sealed.file.close();
  }
}

async function restoreSealed(
  context: Context,
  sealed: SealedFile,
  { here, target, options, keys }: Pick<Choice, 'target' | 'options' | 'keys'> & { readonly here: ServerHere | null },
): Promise<ExitCode> {
  const { work, close } = await open(context, target, options);
  try {
    const { size } = await sealed.file.stat();
    const hint = roomForRestore(work, target);
    const need = { label: sealed.label, size, part: null, work, isWhole: isWhole(options), hint };
    // A file without a manifest says only now whose it is.
    const check = async ({ config }: ConfigAfter): Promise<void> => {
      if (options.target === undefined && config !== null)
        await refuseFolderOfAnother(here, config.server.name, target);
    };
    const call = { ...bringBackOptionsOf(options, keys, target, work), check };
    const outcome = await withRoom(context, need, () => bringBack(context, sealed, call));
    const dryRun = options.dryRun ?? false;
    const again = { label: sealed.label, config: null, options };
    const remaining = await remainingAfter(context, outcome, {
      again,
      isTrial: dryRun,
      isLook: options.target !== undefined && !(await isSameFolder(target, here?.base ?? null)),
    });
    await tellRestored(context, { sealed, target, dryRun, outcome, rebuilt: null, again, remaining });
    // Behind a configuration that cannot be read, there may be a server.
    const isNone = here === null || (here.name !== null && here.owners === null);
    if (isNone && options.dryRun !== true) {
      context.screen.note(noServer(sealed.manifest?.facts.owner ?? 'NAME'));
    }
    return remaining?.matters === true ? 3 : 0;
  } finally {
    await close();
  }
}

async function restoreFromMesh(
  context: Context,
  reference: string | undefined,
  options: RestoreOptions,
  keys: Keys,
): Promise<ExitCode> {
  const source = await openSource(context, options, keys);
  const { mesh, bare, base } = source;
  try {
    const set = options.set === undefined ? '' : asUsage('--set', () => parseSetName(options.set ?? ''));
    const chosen = await findInMesh(context, source, { reference, at: options.at, set });
    const target = resolve(context.cwd, options.target ?? base);
    // In one spelling, where it is the same folder.
    const home = (await isSameFolder(target, source.home)) ? target : source.home;
    const ageIdentity = await ageIdentityFor(chosen, mesh, bare?.keys ?? null, keys);
    const { work, close } = await open(context, target, options);
    try {
      const choice = { mesh, bare, home, target, work, ageIdentity, options, keys };
      const { name: label, size } = chosen.manifest.facts;
      const part = partPath(work, chosen.manifest);
      const need = { label, size, part, work, isWhole: isWhole(options), hint: roomForRestore(work, target) };
      return await withRoom(context, need, () => restoreChosen(context, chosen, choice));
    } finally {
      await close();
    }
  } finally {
    mesh.close();
  }
}

interface Choice {
  readonly mesh: Mesh;
  readonly bare: Bare | null;
  readonly home: string | null;
  readonly target: string;
  /** Where the backup is downloaded to. */
  readonly work: string;
  readonly ageIdentity: string | null;
  readonly options: RestoreOptions;
  readonly keys: Keys;
}

async function restoreChosen(context: Context, chosen: Chosen, choice: Choice): Promise<ExitCode> {
  const { mesh, bare, home, target, options, keys } = choice;
  const takesOver = bare !== null && mayTakeOver(context, choice);
  const hasLostData = takesOver && home !== null && (await missesData(context));
  const question: BringBackOptions['question'] = ({ file }) =>
    takesOver && file !== undefined ? takeoverQuestion(mesh.owner, hasLostData) : plainQuestion();
  const dryRun = options.dryRun ?? false;
  const sealed = await downloadInto(context, chosen, choice.work, choice.ageIdentity, { resumable: !dryRun });
  let isFinished = false;
  try {
    const outcome = await bringBack(context, sealed, {
      ...bringBackOptionsOf(options, keys, target, choice.work),
      question,
      ...(takesOver && {
        check: (after) => refuseBesideLiving(context, after, { target, home, identity: bare.keys.identity }),
      }),
    });
    isFinished = !dryRun;
    const rebuilt = takesOver
      ? await takeOver(context, { file: outcome.after.file, server: mesh.owner }, bare.keys, {
          reached: bare.reached,
          manifests: chosen.proven,
        })
      : null;
    const told = rebuilt instanceof Failure ? null : rebuilt;
    const config = told?.config ?? (await configNamedBy(context, options));
    const again = { label: sealed.label, config, options };
    const remaining = await remainingAfter(context, outcome, {
      again,
      isTrial: dryRun,
      isLook: !takesOver && options.target !== undefined && target !== home,
    });
    await tellRestored(context, { sealed, target, dryRun, outcome, rebuilt: told, again, remaining });
    const isDone = remaining?.matters !== true;
    if (rebuilt instanceof Failure) {
      const { message, hint } = rebuilt;
      const why = hint === undefined ? message : `${message}. ${hint}`;
      context.screen.warn(`The files are in place, but this machine is not ${mesh.owner} yet: ${why}`);
      return 3;
    }
    if (takesOver && told === null) {
      // Whoever names a set has got what was asked for; whoever names none wants the server back.
      const isNamed = options.set !== undefined;
      context.screen[isNamed ? 'note' : 'warn'](noConfiguration(mesh.owner));
      return isNamed && isDone ? 0 : 3;
    }
    const isHere = (home ?? target) === target && outcome.after.file !== undefined;
    if (bare !== null && isAllBut(options) && isHere && !(await isServerAlready(outcome.after, bare.keys.identity))) {
      context.screen.warn(withoutParts(mesh.owner));
      return 3;
    }
    return isDone && (told === null || told.untold.length + told.refusing.length === 0) ? 0 : 3;
  } finally {
    await (isFinished ? sealed.discard() : sealed.leave());
    if (isFinished) await removeParts(choice.work, chosen.manifest.facts);
  }
}

/** Whether the whole server comes back, and to its place: what goes beside a configuration that is here is only looked at. */
function mayTakeOver({ screen }: Context, { mesh, home, target, options }: Choice): boolean {
  if (!options.takeover || options.dryRun === true || !isWhole(options)) return false;
  if (home === null || home === target) return true;
  screen.note(
    `This brings the files only: the configuration of ${mesh.owner} is in ${home}, and the target is another folder.`,
  );
  return false;
}

/** What an interrupted restore left goes first: it may be what there would be no room for. */
async function open({ screen }: Context, target: string, { dryRun }: RestoreOptions): Promise<Target> {
  if (dryRun === true) return openTrial(screen.warn);
  const opened = await openTarget(target);
  for (const warning of await removeStaleStaging(opened.work)) screen.warn(warning);
  return opened;
}

function takeoverQuestion(owner: string, hasLostData: boolean): string {
  const how = hasLostData ? 'this makes a new node key in a data folder that is not there, and the' : 'its';
  return `Put it in place, and let this machine be ${owner} from now on (${how} former node key ends)?`;
}

/** A failure here takes nothing back: the files are in place. */
async function takeOver(...call: Parameters<typeof rebuild>): Promise<Rebuilt | null | Failure> {
  try {
    return await rebuild(...call);
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.kind !== 'interrupted') return failure;
    return new Failure('interrupted', failure.message, { cause: failure, hint: 'Give the same command again.' });
  }
}
