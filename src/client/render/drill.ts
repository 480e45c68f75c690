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

/** When a recovery was last proven, and with which backup: for a line of its own. */
export function drillInWords(drill: Drill | undefined, now: number): string {
  return drill === undefined
    ? 'A recovery was never proven: try one with `anemone-peer restore --drill`.'
    : `A recovery was last ${provenInWords(drill, now)}.`;
}

/** `proven 3 d ago, with anemone-backup-FR1-20261123-010000.enc` */
export function provenInWords({ at, backup }: Drill, now: number): string {
  return `proven ${formatMoment(at, now)}, with ${backup}`;
}

/** For programs; null for never. */
export function drillDocument(drill: Drill | undefined): object | null {
  return drill === undefined ? null : { ...drill, at: new Date(drill.at).toISOString() };
}
