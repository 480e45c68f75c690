import { describe, expect, it } from 'vitest';
import { formatByteSize, parseByteSize } from '../../../src/mesh/terms/byte-size.js';
import { seeded } from '../../faults/random.js';

describe('a size', () => {
  it('that is shown is within half a percent of what it is', () => {
    const random = seeded(1);
    for (let nth = 0; nth < 500; nth += 1) {
      const bytes = Math.floor(2 ** (random.next() * 49));
      const shown = formatByteSize(bytes);
      expect(Math.abs(parseByteSize(shown) - bytes), `${bytes} shown as ${shown}`).toBeLessThanOrEqual(bytes * 0.005);
    }
  });

  it.each<[string | number, number]>([
    ['10GB', 10e9],
    ['1.5 KiB', 1536],
    ['0.5KB', 500],
    [0, 0],
    ['0GB', 0],
  ])('that is written as %j has %d bytes', (written, bytes) => {
    expect(parseByteSize(written)).toBe(bytes);
  });

  it.each([0.4, '0.4', '0.0001KB'])('of %j is none: it would be 0, which means no limit', (written) => {
    expect(() => parseByteSize(written)).toThrow('is not a size');
  });
});
