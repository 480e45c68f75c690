import { kitSet } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { compilePatterns } from '../../mesh/terms/path-pattern.js';
import { asUsage } from '../session/as-usage.js';
import type { Context } from '../session/context.js';
import { parseMoment } from './choosing/moment.js';
import type { ConfigAfter } from './configuration/config-after.js';
import type { Keys } from './opening/keys.js';
import type { PlanOptions } from './place/plan.js';
import type { Selection } from './place/selection.js';
import type { SourceOptions } from './source/source.js';
import type { AgainOptions } from './telling/second-command.js';
import type { UnpackLimits } from './unpack/unpack.js';

/** What a person may ask of a restore. */
export interface RestoreOptions extends SourceOptions, AgainOptions {
  readonly at?: string;
  readonly set?: string;
  readonly dryRun?: boolean;
  readonly keyStdin?: boolean;
  /** False with `--no-takeover`. */
  readonly takeover: boolean;
  readonly maxSize?: number;
  readonly maxFiles?: number;
  /** Do everything but the last step, and record that it can be done. */
  readonly drill?: boolean;
}

/** How a sealed file is brought back. */
export interface BringBackOptions extends PlanOptions {
  readonly keys: Keys;
  /** Where it is prepared. */
  readonly work: string;
  readonly dryRun: boolean;
  /** Do not ask. */
  readonly yes: boolean;
  /** Looks at what would be put into place, before anything is asked or changed, and throws where it must not be. */
  readonly check?: (after: ConfigAfter) => Promise<void>;
  /** What is asked before anything is changed. */
  question(after: ConfigAfter): string;
  readonly limits: Partial<UnpackLimits>;
}

/**
 * What can be known to be wrong before anything is asked or read.
 * @throws Failure `usage`
 */
export function checkCall({ prompts, clock }: Context, reference: string | undefined, options: RestoreOptions): void {
  const { from, at, server, peer } = options;
  if (reference !== undefined && at !== undefined) {
    throw wrong('a backup and --at were both given', 'Give one of them.');
  }
  if (at !== undefined) parseMoment(at, clock.now());
  selectionOf(options);
  if (from !== undefined && (reference ?? at ?? server ?? peer) !== undefined) {
    throw wrong(
      '--from names the backup: nothing else can choose one',
      'Leave out the backup, --at, --server and --peer.',
    );
  }
  if (options.kit !== undefined && (from ?? server) !== undefined) {
    throw wrong('--kit names the server: neither --server nor --from goes with it', 'Leave them out, or --kit.');
  }
  if (options.vpnDir !== undefined && (options.kit ?? server) === undefined) {
    throw wrong('--vpn-dir writes what is in a kit, and none is read here', 'Give --kit, or --server and --peer.');
  }
  if (options.set === kitSet) {
    throw wrong(
      'a kit is a text, and nothing to put into place',
      '`anemone-peer list --set kit` names them: `anemone-peer fetch` one, and open it with `age -d`.',
    );
  }
  if (options.kit === undefined && (server === undefined) !== (peer === undefined)) {
    throw wrong('--server and --peer go together', 'On a bare machine: restore --server FR1 --peer 10.8.0.2');
  }
  if (options.drill === true) checkDrill(options);
  if (options.drill === true || prompts.interactive) return;
  if (from === undefined && reference === undefined && at === undefined) {
    throw wrong('no backup was named, and nobody can be asked here', 'Name one, or `latest`, or give --at.');
  }
  if (options.yes !== true && options.dryRun !== true) {
    throw wrong('nobody can be asked here whether to go on', 'Give --yes, or look first with --dry-run.');
  }
}

/**
 * Which parts of a backup are wanted.
 * @throws Failure `usage` for a pattern that is none
 */
export function selectionOf({ include = [], exclude = [] }: RestoreOptions): Selection {
  if (include.length === 0 && exclude.length === 0) return null;
  const isIncluded = include.length === 0 ? () => true : asUsage('--include', () => compilePatterns(include));
  const isExcluded = asUsage('--exclude', () => compilePatterns(exclude));
  return (name, isFolder) => isIncluded(name, isFolder) && !isExcluded(name, isFolder);
}

export function isWhole({ include, exclude }: RestoreOptions): boolean {
  return include === undefined && exclude === undefined;
}

/** Whether a server is wanted back, without something that stands in its way. */
export function isAllBut({ include, exclude, takeover, dryRun }: RestoreOptions): boolean {
  return takeover && dryRun !== true && include === undefined && exclude !== undefined;
}

/** How much an archive may hold. */
export function limitsOf({ maxSize, maxFiles }: RestoreOptions): Partial<UnpackLimits> {
  return {
    ...(maxSize === undefined ? {} : { bytes: maxSize, ratio: Number.POSITIVE_INFINITY }),
    ...(maxFiles === undefined ? {} : { entries: maxFiles }),
  };
}

export const plainQuestion = (): string => 'Put it in place?';

/** How what a person asked for is brought back; `work` is where it is prepared. */
export function bringBackOptionsOf(
  options: RestoreOptions,
  keys: Keys,
  target: string,
  work: string,
): BringBackOptions {
  const { dryRun, yes, ownership } = options;
  return {
    keys,
    target,
    work,
    dryRun: dryRun ?? false,
    yes: yes ?? false,
    question: plainQuestion,
    selection: selectionOf(options),
    ownership: ownership ?? false,
    limits: limitsOf(options),
  };
}

function checkDrill(options: RestoreOptions): void {
  const { from, kit, server, target, include, exclude, dryRun, ownership, allowUnauthenticated } = options;
  // What --yes and --no-takeover say, a drill does anyway.
  const isOther = (from ?? kit ?? server ?? target ?? include ?? exclude) !== undefined;
  if (!isOther && ![dryRun, ownership, allowUnauthenticated].includes(true)) return;
  throw wrong(
    '--drill tries the whole of a recovery, from the peers, on the server itself',
    'Only a backup, --at, --set, --max-size, --max-files and --key-stdin go with it.',
  );
}

function wrong(message: string, hint: string): Failure {
  return new Failure('usage', message, { hint });
}
