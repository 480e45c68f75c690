import { Failure } from '../terms/failure.js';

const seconds: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400 };

/**
 * Reads `90s`, `5m`, `2h`, `1d` or plain seconds, as a whole number of seconds.
 * @throws Failure `invalid`
 */
export function parseDuration(text: string | number): number {
  const [, digits, unit = ''] = /^\s*(\d+)\s*([smhd]?)\s*$/.exec(String(text)) ?? [];
  const duration = Number(digits) * (seconds[unit] ?? Number.NaN);
  if (!Number.isSafeInteger(duration)) {
    throw new Failure('invalid', `${typeof text === 'number' ? text : JSON.stringify(text)} is not a duration`, {
      hint: 'A duration is a number of seconds, or a number with s, m, h or d, such as 5m.',
    });
  }
  return duration;
}
