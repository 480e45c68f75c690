import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { defaultSet, kitSet } from '../../../mesh/terms/backup-name.js';
import { formatByteSize } from '../../../mesh/terms/byte-size.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { makeLook } from '../../render/look.js';
import { formatMoment } from '../../render/moments.js';
import { renderTable } from '../../render/table.js';
import type { Context } from '../../session/context.js';
import { type Candidate, candidatesOf, type FoundBackup, type Survey } from '../../survey/found.js';
import { heldBy } from '../../survey/held-by.js';
import { findingsAbout, nobodyAnswered, silence, survey, tellFindings } from '../../survey/survey.js';
import type { Source } from '../source/source.js';
import type { Bare } from '../source/visit.js';
import { choose, chooseAt, setBySet } from './choose.js';
import { parseMoment } from './moment.js';

/** Which backup is meant: a reference, a point in time, or neither, so that a person is asked. */
export interface Wanted {
  readonly reference: string | undefined;
  readonly at: string | undefined;
  readonly set: string;
}

/** Who is asked. */
type Asked = Pick<Source, 'mesh' | 'bare'>;

/** The backup that is meant. */
export interface Chosen extends Candidate {
  /** All backups of its owner that were found, and proven. */
  readonly proven: readonly VerifiedManifest[];
}

/**
 * Asks the mesh and finds the backup that is meant. Where no set is named, `latest` and a point in time are of the usual one.
 * @throws Failure `not-found`, `unreachable`, `untrusted`, `wrong-key`, `usage`; `interrupted` when the person at the
 *   terminal leaves with `q`
 */
export async function findInMesh(context: Context, source: Asked, wanted: Wanted): Promise<Chosen> {
  const { screen } = context;
  const { mesh, bare } = source;
  const found = await survey(context, mesh, { owner: '', set: wanted.set });
  const moved = ' If one has moved, --kit and --server take its new address: --peer ADDRESS.';
  const nobody = nobodyAnswered(found, bare === null ? '' : moved);
  if (nobody !== null) throw nobody;
  for (const answer of found.answers) {
    if ('failure' in answer) screen.warn(silence(answer));
  }
  const ofOwner = found.backups.filter(({ facts }) => facts.owner === mesh.owner);
  const own = ofOwner.filter(({ facts }) => facts.set !== kitSet);
  tellFindings(context, findingsAbout(found, mesh.owner));
  if (own.length === 0) throw await nothingOfSet(context, source, wanted.set, found.backups);
  const chosen = await chooseAmong(context, { ...found, backups: own }, wanted);
  return { ...chosen, proven: candidatesOf(ofOwner).map(({ manifest }) => manifest) };
}

async function chooseAmong(context: Context, found: Survey, { at, reference }: Wanted): Promise<Candidate> {
  if (at !== undefined) return chooseAt(found.backups, parseMoment(at, context.clock.now()));
  return reference === undefined ? askWhich(context, found) : choose(found.backups, reference);
}

/** Owners and sets that are named: whoever answers could show any number of them. */
const mostNamed = 5;

function named(names: readonly string[]): string {
  return [...names.slice(0, mostNamed), ...(names.length > mostNamed ? ['others'] : [])].join(', ');
}

/** Holders that were asked for one set show nothing of others: what there is instead takes one more question. */
async function nothingOfSet(
  context: Context,
  source: Asked,
  set: string,
  backups: readonly FoundBackup[],
): Promise<Failure> {
  if (set === '') return nothingOf(source, backups);
  const { mesh } = source;
  const all = await survey(context, mesh, { owner: '', set: '' });
  const own = all.backups
    .map(({ facts }) => facts)
    .filter((facts) => facts.owner === mesh.owner && facts.set !== kitSet);
  if (own.length === 0) return nobodyAnswered(all) ?? nothingOf(source, all.backups);
  const names = named([...new Set(own.map((facts) => facts.set))].sort());
  return new Failure('not-found', `nobody who answered has a backup of ${mesh.owner} in the set ${set}`, {
    hint: `They show the sets ${names}: is one of these meant?`,
  });
}

function nothingOf({ mesh, bare }: Asked, backups: readonly FoundBackup[]): Failure {
  const others = [...new Set(backups.map(({ facts }) => facts.owner))];
  const keyOf = bare === null ? undefined : ownerOfKey(bare, backups);
  // A name in other letters is a slip of its own.
  if (keyOf !== undefined && keyOf.toLowerCase() !== mesh.owner.toLowerCase()) {
    return new Failure('wrong-key', `this is the recovery key of ${keyOf}, and ${mesh.owner} is to be restored`, {
      hint: `Give the key of ${mesh.owner}, or --server ${keyOf}.`,
    });
  }
  return new Failure('not-found', `nobody who answered has a backup of ${mesh.owner}`, {
    hint:
      others.length === 0
        ? 'Ask other peers, or check that the recovery key is the one of this server.'
        : `They show backups of ${named(others)}: is one of these names meant?`,
  });
}

/** The server that the key of a bare machine belongs to, by what the backups say of themselves. */
function ownerOfKey({ keys }: Bare, backups: readonly FoundBackup[]): string | undefined {
  return backups.find(({ facts }) => Buffer.from(facts.identity).toString('base64') === keys.identity)?.facts.owner;
}

/** Shows what can be restored, numbered from the usual set on, and each set from the end of its chain; a person picks one. */
async function askWhich({ screen, prompts, clock }: Context, found: Survey): Promise<Candidate> {
  const setOf = ({ manifest }: Candidate): string => manifest.facts.set;
  // The first one is what most people take: a dump, which is often made last, brings no server back.
  const candidates = setBySet(candidatesOf(found.backups)).sort(
    (a, b) => Number(setOf(a) !== defaultSet) - Number(setOf(b) !== defaultSet),
  );
  const [first] = candidates;
  if (first === undefined) throw new Failure('untrusted', 'none of the backups that the peers show is to be believed');
  const { owner } = first.manifest.facts;
  const hasSets = new Set(candidates.map(setOf)).size > 1;
  const rows = candidates.map(({ manifest: { facts }, copies }, index) => [
    String(index + 1),
    facts.name,
    ...(hasSets ? [facts.set] : []),
    formatByteSize(facts.size),
    formatMoment(facts.createdAtMs, clock.now()),
    heldBy(copies, found),
  ]);
  const headings = ['', 'BACKUP', ...(hasSets ? ['SET'] : []), 'SIZE', 'AGE', 'HELD BY'];
  // Number 1 stands nearest to the question: of a long list the beginning leaves the screen.
  screen.asked(renderTable(makeLook(true, false), headings, rows.toReversed()));
  if (hasSets && setOf(first) === defaultSet) {
    screen.asked(`The set \`${defaultSet}\` is the one that makes a machine ${owner}.`);
  }
  for (;;) {
    const typed = await prompts.text('Number of the backup to restore, or q to leave:', 'Name a backup, or `latest`.');
    if (typed.trim().toLowerCase() === 'q') throw new Failure('interrupted', 'nothing was restored');
    const candidate = /^\d+$/.test(typed.trim()) ? candidates[Number(typed) - 1] : undefined;
    if (candidate !== undefined) return candidate;
    screen.warn(`Give a number from 1 to ${candidates.length}, or q.`);
  }
}
