import type { Clock } from '../../../mesh/terms/clock.js';
import type { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';

export interface DownloadOptions {
  readonly clock: Clock;
  /** Where the hashes of the leaves may lie meanwhile: 1/2048 of the backup's size. */
  readonly folder: string;
  /** Told how many bytes of the backup are there. */
  progress(bytes: number): void;
  /** Told when a holder is given up, and why. */
  dropped(holder: Holder, why: Failure): void;
  readonly signal: AbortSignal;
}

/** How many bytes each holder gave that were of use. */
export type Received = ReadonlyMap<Holder, number>;
