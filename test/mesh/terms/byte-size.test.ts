import { describe, expect, it } from 'vitest';
import { parseByteSize } from '../../../src/mesh/terms/byte-size.js';

describe('a size', () => {
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
