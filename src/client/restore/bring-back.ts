import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { OpenedEnvelope } from '../../mesh/envelope/envelope.js';
import { peek } from '../../mesh/envelope/peek.js';
import type { Manifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import type { Context } from '../session/context.js';
import type { ConfigAfter } from './configuration/config-after.js';
import { formatOf, openSealed, type SealedFile } from './opening/sealed-file.js';
import type { BringBackOptions } from './options.js';
import { inSwitched, intoPlace, type Switched } from './place/into-place.js';
import { planRestore } from './place/plan.js';
import { type BroughtBack, inWords } from './telling/brought-back.js';
import { applyPredecessorLayout, hasPredecessorLayout } from './unpack/predecessor-layout.js';
import { archiveHead, beginsArchive, nameOfContent, writeSingle } from './unpack/single-file.js';
import { removeStaging, restoreStamp, stagingFolder } from './unpack/staging.js';
import { type UnpackSummary, unpack } from './unpack/unpack.js';

/**
 * Opens a sealed file, unpacks it beside what is there, compares, asks, and exchanges one for the other. Whatever fails
 * before the exchange, the target is as it was.
 * @throws Failure `wrong-key` | `damaged` | `invalid` (a refused archive) | `interrupted`
 */
export async function bringBack(context: Context, sealed: SealedFile, options: BringBackOptions): Promise<BroughtBack> {
  const { screen, prompts, clock, signal } = context;
  const { target, work } = options;
  const stamp = restoreStamp(clock.now());
  const staging = stagingFolder(work, stamp);
  const format = await formatOf(sealed);
  const opened = await openSealed(sealed, format, options.keys);
  try {
    const { entries, bytes, isArchive } = await unpackPlaintext(context, sealed, opened, staging, options);
    const { ground, units, ...planned } = await planRestore(context, sealed, entries, { staging, stamp }, options);
    const isDrill = options.place !== undefined;
    const facts = sealed.manifest?.facts;
    if (isArchive && facts !== undefined && !isDrill && isOfCommand(facts, planned.after)) {
      screen.note(ofCommand(sealed.label, facts));
    }
    const { comparison, unplaceable } = planned;
    const result = { format, entries, bytes, ...planned };
    if (options.dryRun) return { ...result, switched: [] };
    await options.check?.(planned.after);
    const tell = options.yes ? screen.note : screen.asked;
    tell(`${sealed.label} (${format}), ${formatByteSize(bytes)}, into ${target}: ${inWords(comparison)}`);
    if (comparison.dropped.length > 0) {
      tell(inLines('Not in the backup, and put aside with the folder that they are in:', comparison.dropped));
    }
    for (const { path, why } of unplaceable) tell(`Left out is ${path}: ${why.message}.`);
    if (
      !options.yes &&
      !(await prompts.confirm(options.question(planned.after), 'Give --yes, or look first with --dry-run.'))
    ) {
      throw new Failure('interrupted', 'nothing was restored');
    }
    const { switched, warnings } = await intoPlace({ staging, stamp, ground, units }, signal);
    for (const warning of warnings) screen.warn(warning);
    const { aside, staying } = await asideOf(comparison.dropped, target, switched);
    if (staying.length > 0) screen.warn(inLines('not put aside, since the folder cannot be renamed here:', staying));
    return { ...result, comparison: { ...comparison, dropped: aside }, switched };
  } finally {
    // What is in place stays done, and what failed stays told.
    for (const warning of await removeStaging([staging])) screen.warn(warning);
  }
}

/** Unpacks what a sealed file holds into the staging folder: an archive, or one file. */
async function unpackPlaintext(
  context: Context,
  sealed: SealedFile,
  { plaintext, keyProven }: OpenedEnvelope,
  staging: string,
  { ownership, limits, selection, target }: BringBackOptions,
): Promise<UnpackSummary & { readonly isArchive: boolean }> {
  const { screen, signal, clock } = context;
  const facts = sealed.manifest?.facts;
  const peeked = await peek(plaintext, archiveHead);
  if (beginsArchive(peeked.head)) {
    const unpacked = await unpack(peeked.from(0), staging, {
      // What the owner signed is no trap, however well it was compressed.
      limits: facts === undefined ? limits : { ratio: Number.POSITIVE_INFINITY, ...limits },
      ownership,
      controlCharacters: facts !== undefined,
      ...(selection === null ? {} : { selects: selection }),
      signal,
    });
    const { entries, leftOut } = unpacked;
    if (selection !== null && entries.length === 0) throw nothingSelected(sealed.label);
    if (!hasPredecessorLayout([...entries, ...leftOut])) return { ...unpacked, isArchive: true };
    const laidOut = await applyPredecessorLayout(staging, entries, selection === null);
    return { ...unpacked, entries: laidOut, isArchive: true };
  }
  const name = nameOfContent(facts?.name ?? sealed.label);
  const refusal = selection === null ? await taken(target, name) : noParts(sealed.label);
  if (refusal !== null) {
    await peeked.release();
    throw refusal;
  }
  screen.note(`${sealed.label} holds no archive: its content becomes one file, ${name}.`);
  if (!keyProven) {
    screen.warn(
      `nothing proves that the Restic key is the right one for ${sealed.label}: one wrong key in 256 comes as far. Look ` +
        `at ${name} before you rely on it.`,
    );
  }
  const mtime = new Date(facts?.createdAtMs ?? clock.now());
  const written = await writeSingle(peeked.from(0), staging, { name, mtime }, { limits, signal });
  return { ...written, isArchive: false };
}

/** How an archive is got as it was written: a file from disk, which is not called by the name of the backup, is here already. */
function ofCommand(label: string, { name, format }: Manifest): string {
  const got = label === name ? `\`anemone-peer fetch ${name}\`, and open that` : `open ${shellWord(label)}`;
  const how = format === 'age' ? '`age -d`, as the kit says' : 'openssl: docs/formats.md says how';
  return (
    `${label} is an archive that a command wrote, and is unpacked. Where it is wanted as it was written, as for ` +
    `pg_restore or docker load: ${got} with ${how}.`
  );
}

/** Whether a command made this backup, by the configuration that is known. */
function isOfCommand({ owner, set }: Pick<Manifest, 'owner' | 'set'>, { config }: ConfigAfter): boolean {
  const source = config?.backup.sets.find(({ name }) => name === set)?.source;
  return config?.server.name === owner && source?.kind === 'command';
}

async function taken(target: string, name: string): Promise<Failure | null> {
  const path = join(target, name);
  if ((await lstat(path).catch(() => null)) === null) return null;
  return new Failure('conflict', `${path} is there already`, {
    hint: 'Move it away, or restore into another --target.',
  });
}

function noParts(label: string): Failure {
  return new Failure('usage', `${label} holds no archive, so there are no parts of it to choose`, {
    hint: 'Leave out --include and --exclude.',
  });
}

function nothingSelected(label: string): Failure {
  return new Failure('not-found', `nothing in ${label} fits --include and --exclude`, {
    hint: 'Patterns are as in .gitignore, over the names that `restore --dry-run --target EMPTY` shows: config/ssh, *.conf.',
  });
}

/** Which of the things that are not in the backup were put aside: all that lie in what was exchanged. */
async function asideOf(
  dropped: readonly string[],
  target: string,
  switched: readonly Switched[],
): Promise<{ readonly aside: readonly string[]; readonly staying: readonly string[] }> {
  const isAside = await inSwitched(target, switched);
  return { aside: dropped.filter(isAside), staying: dropped.filter((path) => !isAside(path)) };
}

/** How many names a person is shown before a question. */
const mostNamed = 10;

function inLines(heading: string, paths: readonly string[]): string {
  const lines = paths.slice(0, mostNamed).map((path) => `  ${path}`);
  const more = paths.length - lines.length;
  return [heading, ...lines, ...(more > 0 ? [`  and ${more} more`] : [])].join('\n');
}
