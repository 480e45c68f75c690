import { epochOf, type VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { overLimit, spaceOf } from './quota.js';
import type { Upload } from './upload.js';

/** An owner that goes on with an upload tries more often than this, in milliseconds: one left for so long gives way to a newer. */
const longestPause = 86_400_000;

/** What counts of an upload that is not committed yet. */
type Unfinished = Pick<Upload, 'epoch' | 'idle' | 'manifest' | 'promised' | 'touched'>;

interface Circumstances {
  /** Bytes that the owner may store; 0 means no limit. */
  readonly quota: number;
  /** Bytes for which its backups count that are held. */
  readonly used: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * The uploads that have to give way to a backup of their owner, the oldest first; none where there is room for all.
 * @throws Failure where there would not be enough for it all the same
 */
export function givingWayTo<T extends Unfinished>(
  newer: VerifiedManifest,
  uploads: readonly T[],
  { quota, used, now }: Circumstances,
): readonly T[] {
  const mayLeave = uploads
    .filter((upload) => mayGiveWay(upload, newer, now))
    .sort((a, b) => a.epoch - b.epoch || a.manifest.facts.sequence - b.manifest.facts.sequence);
  for (let count = 0; ; count += 1) {
    const leaving = mayLeave.slice(0, count);
    const promised = uploads.filter((upload) => !leaving.includes(upload)).map((upload) => upload.promised);
    const trouble = overLimit(newer.name.owner, spaceOf(newer.facts.size), promised, { quota, used });
    if (trouble === null) return leaving;
    if (count === mayLeave.length) throw trouble;
  }
}

/**
 * Whether nothing of an upload is on its way, and a backup comes before it: it is newer in its set, and the owner has not gone on
 * with the upload for a day; or it is of a newer node key, and whoever began the upload may be a thief of the former one.
 */
function mayGiveWay({ idle, epoch, manifest: { facts }, touched }: Unfinished, newer: VerifiedManifest, now: number) {
  if (!idle) return false;
  if (epoch < epochOf(newer)) return true;
  const { set, sequence } = newer.facts;
  return facts.set === set && facts.sequence < sequence && now - touched >= longestPause;
}
