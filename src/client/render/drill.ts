import { Failure } from '../../mesh/terms/failure.js';
import { formatMoment } from './moments.js';

/** One time that a recovery was tried and succeeded. Times are spans in milliseconds. */
export interface Drill {
  /** When it ended, milliseconds since 1970. */
  readonly at: number;
  /** File name of the backup that was brought back. */
  readonly backup: string;
  readonly set: string;
  /** Bytes that were fetched, and what they unpacked to. */
  readonly size: number;
  readonly unpacked: number;
  readonly entries: number;
  readonly finding: number;
  readonly fetching: number;
  readonly opening: number;
  /** Bytes that each peer gave, by its hostname. */
  readonly peers: Readonly<Record<string, number>>;
}

/** The last drill of a server; undefined for none yet, a Failure where their record cannot be read. */
export type LastDrill = Drill | undefined | Failure;

/** When a recovery was last proven, and with which backup: for a line of its own. */
export function drillInWords(drill: LastDrill, now: number): string {
  if (drill instanceof Failure) return `When a recovery was last proven cannot be told: ${drill.message}.`;
  return drill === undefined
    ? 'A recovery was never proven: try one with `anemone-peer restore --drill`.'
    : `A recovery was last ${proven(drill, now)}.`;
}

/** The same for a cell: `proven 3 d ago, with anemone-backup-FR1-20261123-010000.enc` */
export function provenInWords(drill: LastDrill, now: number): string {
  if (drill instanceof Failure) return drill.message;
  return drill === undefined ? 'never proven: try `anemone-peer restore --drill`' : proven(drill, now);
}

function proven({ at, backup }: Drill, now: number): string {
  return `proven ${formatMoment(at, now)}, with ${backup}`;
}

/** For programs; null for never, and where nobody can tell. */
export function drillDocument(drill: LastDrill): object | null {
  return drill === undefined || drill instanceof Failure ? null : { ...drill, at: new Date(drill.at).toISOString() };
}
