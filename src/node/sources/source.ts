import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Clock } from '../../mesh/terms/clock.js';

export interface SourceContext {
  /** Stops the reading: the stream then throws Failure `interrupted`. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Told what is missing or doubtful in the stream, although the stream itself is good. May be called many times. */
  warn(message: string): void;
  /** Told what a person should see to, although nothing is missing in the stream. */
  remark(message: string): void;
  /** Told what is read next: a sign of life, and what the source waits for should it hang. */
  reading(path: string): void;
}

/** Where the bytes of a set come from. */
export interface Source {
  /**
   * Starts reading from the beginning; nothing happens before the first chunk is asked for. The stream is complete only
   * when it ends without throwing: a source that finds out late that its bytes are no good throws at the end.
   * @throws Failure (while the stream is read)
   */
  read(context: SourceContext): Bytes;
}
