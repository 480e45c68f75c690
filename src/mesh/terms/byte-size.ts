import { Failure } from './failure.js';

const factors: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/**
 * Reads `10GB`, `512MiB`, `1.5 GB` or plain bytes, as a whole number of bytes.
 * @throws Failure `invalid`
 */
export function parseByteSize(text: string | number): number {
  const [, digits, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(String(text)) ?? [];
  const factor = factors[unit.toUpperCase()];
  const written = digits === undefined || factor === undefined ? Number.NaN : Number(digits) * factor;
  const bytes = Math.round(written);
  // What is less than a byte must not become 0, which means no limit.
  if (!Number.isSafeInteger(bytes) || (bytes === 0 && written > 0)) {
    throw new Failure('invalid', `${typeof text === 'number' ? text : JSON.stringify(text)} is not a size`, {
      hint: 'A size is a number of bytes, or a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 10GB.',
    });
  }
  return bytes;
}

/** A size for people, in powers of 1024 with three significant digits: `1.5 MiB`. */
export function formatByteSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 ? 0 : Math.max(0, 3 - Math.max(1, Math.floor(Math.log10(Math.max(1, value))) + 1));
  return `${value.toFixed(digits)} ${units[unit]}`;
}
