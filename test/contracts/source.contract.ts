import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Source, SourceContext } from '../../src/node/sources/source.js';
import { FakeClock } from '../support/fake-clock.js';

/** What a source must come with to be held to the contract. */
export interface SourceFixture {
  /** Yields the same few bytes each time, in well under a second. */
  readonly good: Source;
  /** Yields several MiB, so that a reader can leave in the middle. */
  readonly long: Source;
  /** Throws a Failure. */
  readonly broken: Source;
  /** Resolves once nothing is held any more: no open file, connection or process. */
  released(): Promise<void>;
  dispose(): Promise<void>;
}

export interface Reading {
  readonly context: SourceContext;
  readonly clock: FakeClock;
  readonly warnings: string[];
  readonly remarks: string[];
  /** What the source said that it reads next. */
  readonly touched: string[];
  abort(): void;
}

export function newReading(): Reading {
  const controller = new AbortController();
  const clock = new FakeClock();
  const warnings: string[] = [];
  const remarks: string[] = [];
  const touched: string[] = [];
  const context = {
    signal: controller.signal,
    clock,
    warn: (message: string) => void warnings.push(message),
    remark: (message: string) => void remarks.push(message),
    reading: (path: string) => void touched.push(path),
  };
  return { context, clock, warnings, remarks, touched, abort: () => controller.abort() };
}

export function sourceContract(name: string, arrange: () => Promise<SourceFixture>): void {
  describe(`${name} keeps the contract of a source`, () => {
    let fixture: SourceFixture;
    let reading: Reading;
    beforeEach(async () => {
      fixture = await arrange();
      reading = newReading();
    });
    afterEach(() => fixture.dispose());

    it('yields the same bytes each time, in chunks that are not empty', async () => {
      const first = await buffer(fixture.good.read(reading.context));
      expect(first.length).toBeGreaterThan(0);
      for await (const chunk of fixture.good.read(reading.context)) expect(chunk.length).toBeGreaterThan(0);
      expect(first.equals(await buffer(fixture.good.read(reading.context)))).toBe(true);
      expect(reading.warnings).toEqual([]);
    });

    it('holds nothing and leaves no timer after the end', async () => {
      await buffer(fixture.good.read(reading.context));
      await fixture.released();
      expect(reading.clock.pending()).toBe(0);
    });

    it('does not start when the signal has aborted before', async () => {
      reading.abort();
      await expect(buffer(fixture.good.read(reading.context))).rejects.toMatchObject({ kind: 'interrupted' });
      await fixture.released();
      expect(reading.clock.pending()).toBe(0);
    });

    it('throws `interrupted` and lets go when the signal aborts in the middle', async () => {
      const reader = async (): Promise<void> => {
        for await (const chunk of fixture.long.read(reading.context)) if (chunk.length > 0) reading.abort();
      };
      await expect(reader()).rejects.toMatchObject({ name: 'Failure', kind: 'interrupted' });
      await fixture.released();
      expect(reading.clock.pending()).toBe(0);
    });

    it('lets go of everything when its reader leaves early', async () => {
      for await (const chunk of fixture.long.read(reading.context)) if (chunk.length > 0) break;
      await fixture.released();
      expect(reading.clock.pending()).toBe(0);
    });

    it('tells an error as a Failure, and lets go', async () => {
      await expect(buffer(fixture.broken.read(reading.context))).rejects.toMatchObject({ name: 'Failure' });
      await fixture.released();
      expect(reading.clock.pending()).toBe(0);
    });
  });
}
