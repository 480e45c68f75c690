import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Source, SourceContext } from '../sources/source.js';
import { quote } from '../sources/walk.js';

/*
 * What reads from a network mount whose server is gone waits for good: no error comes, and neither a signal nor a timeout
 * reaches it. So nobody waits for it without end, and it is not asked again while it still waits.
 */

/** How long a source may show no sign of life beyond a timeout of its own, in milliseconds. */
const patience = 10 * 60_000;
/** How long a source may take to end when it is told to, in milliseconds; a command takes five seconds of it. */
const grace = 10_000;
/** Sources that may hang at once: each holds one of the four threads by which Node does all that it does with files. */
const mostHanging = 2;

/** The source of a set. */
export interface SetSource extends Source {
  readonly name: string;
  /** Milliseconds for which it may well give nothing, as a command does that has a timeout of its own. */
  readonly silence?: number;
}

/** Reads a source, and lets go of it when it hangs: then throws Failure `timeout`, or `interrupted` when it was to end. */
export type ReadSource = (source: SetSource, context: Omit<SourceContext, 'clock' | 'reading'>) => Bytes;

export function sourceWatch(clock: Clock): ReadSource {
  /** By set: what it waits for. */
  const hanging = new Map<string, string>();
  return async function* read(source, context) {
    refuse(source.name, hanging);
    const reading = new Reading(source, context.signal, clock);
    const bytes = source
      .read({ ...context, signal: reading.signal, clock, reading: reading.sign })
      [Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await reading.step(bytes.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      const released = Promise.resolve(bytes.return?.());
      if (reading.hangs || !(await settles(released, grace, clock))) {
        hanging.set(source.name, reading.what);
        const over = (): boolean => hanging.delete(source.name);
        released.then(over, over);
      }
    }
  };
}

/** One reading of a source, step by step. */
class Reading {
  readonly signal: AbortSignal;
  hangs = false;
  #path = '';
  #lastSign = 0;
  readonly #stop = new AbortController();

  constructor(
    readonly source: SetSource,
    readonly outer: AbortSignal,
    readonly clock: Clock,
  ) {
    this.signal = AbortSignal.any([outer, this.#stop.signal]);
  }

  readonly sign = (path: string): void => {
    this.#path = path;
    this.#lastSign = this.clock.monotonic();
  };

  /** What is waited for. */
  get what(): string {
    return this.#path === '' ? 'its source' : quote(this.#path);
  }

  /** @throws Failure when it takes too long, also where the source does not end then */
  async step<T>(work: Promise<T>): Promise<T> {
    const allowed = (this.source.silence ?? 0) + patience;
    this.#lastSign = this.clock.monotonic();
    for (let left = allowed; left > 0; left = this.#lastSign + allowed - this.clock.monotonic()) {
      if (await settles(work, left, this.clock, this.outer)) return work;
      if (this.outer.aborted) break;
    }
    this.#stop.abort();
    this.hangs = !(await settles(work, grace, this.clock));
    if (!this.outer.aborted) throw hung(`set ${this.source.name}: waited ${allowed / 60_000} min for ${this.what}`);
    if (this.hangs) throw new Failure('interrupted', `set ${this.source.name}: interrupted, waiting for ${this.what}`);
    return work;
  }
}

/** @throws Failure where the set still hangs from an earlier run, or too many others do */
function refuse(set: string, hanging: ReadonlyMap<string, string>): void {
  const what = hanging.get(set);
  if (what !== undefined) throw hung(`set ${set}: still waits for ${what} since an earlier run`);
  if (hanging.size < mostHanging) return;
  const others = [...hanging].map(([other, at]) => `set ${other} for ${at}`).join(', ');
  throw hung(`set ${set}: not read, because others hang, and one more could stop the node: ${others}`);
}

function hung(message: string): Failure {
  return new Failure('timeout', message, {
    retryable: false,
    hint: 'A network mount whose server is gone hangs so. Mount it again, or take it out of the set, and restart the node.',
  });
}

/** Whether work is over, well or badly, before the time is up and the signal aborts. */
function settles(work: Promise<unknown>, ms: number, clock: Clock, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (settled: boolean): void => {
      cancel();
      signal?.removeEventListener('abort', abort);
      resolve(settled);
    };
    const abort = (): void => end(false);
    const cancel = clock.after(ms, abort);
    signal?.addEventListener('abort', abort, { once: true });
    work.then(
      () => end(true),
      () => end(true),
    );
  });
}
