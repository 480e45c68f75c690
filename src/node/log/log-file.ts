import { finished } from 'node:stream/promises';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { Clock } from '../../mesh/terms/clock.js';

export interface LogFileOptions {
  readonly folder: string;
  readonly name: string;
  readonly clock: Clock;
  /** Told once when the file fails and once when it works again. */
  readonly onChange: (state: 'failed' | 'works', reason: string) => void;
  /** Bytes after which a file is put aside. */
  readonly size?: number;
}

const defaultSize = 10 * 1_048_576;
/** Files put aside: `<name>.1` is the newest. */
const keep = 5;
/** Milliseconds after which a file that failed is tried again. */
const retryAfter = 60_000;
/** Bytes that may wait for a slow disk; what comes beyond goes to standard error only. */
const longestQueue = 8 * 1_048_576;

/** A file of lines that grows to a size, is put aside and begins anew. It never throws and never makes its writer wait. */
export interface LogFile {
  write(line: string): void;
  close(): Promise<void>;
}

export function openLogFile({ folder, name, clock, onChange, size = defaultSize }: LogFileOptions): LogFile {
  let stream: RotatingFileStream | undefined;
  let failedAt: number | undefined;
  let closed = false;

  const fail = (reason: string): void => {
    stream = undefined;
    const first = failedAt === undefined;
    failedAt = clock.monotonic();
    if (first) onChange('failed', reason);
  };
  const start = (): RotatingFileStream => {
    const opened = createStream(name, { path: folder, size: `${size}B`, rotate: keep, mode: 0o640 });
    opened.on('error', (error: Error) => {
      if (stream === opened) fail(error.message);
    });
    return opened;
  };

  return {
    write(line) {
      if (closed || (failedAt !== undefined && stream === undefined && clock.monotonic() - failedAt < retryAfter))
        return;
      stream ??= start();
      if (stream.writableLength > longestQueue) return;
      stream.write(line, (error) => {
        if (error || failedAt === undefined) return;
        failedAt = undefined;
        onChange('works', '');
      });
    },
    async close() {
      closed = true;
      if (stream === undefined) return;
      stream.end();
      await finished(stream).catch(() => undefined);
    },
  };
}
