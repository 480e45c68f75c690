import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import { Failure } from '../../mesh/terms/failure.js';
import { settleAll } from '../../mesh/terms/settle-all.js';
import type { Upload } from './upload.js';

/** Leaves that are written together. */
const leavesAtOnce = 4;
/** Runs of them that are in memory at a time: one fills while the others are on their way to the disk. Together 1 MiB. */
const runsAtOnce = 4;

/** Cuts the bytes of one range into leaves for an upload. One call at a time. */
export interface RangeWriter {
  /**
   * @throws Failure `invalid` as soon as there is more than the range has; what the disk threw, for these bytes or for those
   * before them
   */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Stores the whole leaves that arrived; the rest of a leaf that was cut off is dropped. Nothing may be written after. */
  flush(): Promise<void>;
}

/** Leaves that follow each other, on their way to the disk. */
interface Run {
  readonly buffer: Buffer;
  /** Rejects when they could not be stored. */
  stored: Promise<void>;
}

/** @param range one that the upload's file has, see `checkRange` */
export function openRangeWriter(upload: Upload, range: Range): RangeWriter {
  const size = Math.min(range.length, leavesAtOnce * leafSize);
  const runs: Run[] = [];
  /** The run that fills; null when it is not known yet which one is free. */
  let run: Run | null = null;
  let turn = 0;
  const end = range.offset + range.length;
  let position = range.offset;
  let filled = 0;

  async function freeRun(): Promise<Run> {
    const next = runs[turn] ?? { buffer: Buffer.allocUnsafe(size), stored: Promise.resolve() };
    runs[turn] = next;
    turn = (turn + 1) % runsAtOnce;
    await next.stored;
    return next;
  }

  function store(): void {
    const whole = position + filled === end ? filled : filled - (filled % leafSize);
    if (run === null || whole === 0) return;
    run.stored = upload.store(position / leafSize, run.buffer.subarray(0, whole));
    // It is told when the turn comes to this run again, or at the end.
    run.stored.catch(() => {});
    position += filled;
    filled = 0;
    run = null;
  }

  async function flush(): Promise<void> {
    store();
    await settleAll(runs.map(({ stored }) => stored));
  }

  async function write(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      const room = end - position - filled;
      const accepted = chunk.subarray(0, room);
      for (let offset = 0; offset < accepted.length; ) {
        run ??= await freeRun();
        const part = accepted.subarray(offset, offset + run.buffer.length - filled);
        run.buffer.set(part, filled);
        filled += part.length;
        offset += part.length;
        if (filled === run.buffer.length) store();
      }
      if (chunk.length > room) {
        throw new Failure('invalid', `more bytes came than the ${range.length} of the announced range`);
      }
    }
  }

  return { write, flush };
}
