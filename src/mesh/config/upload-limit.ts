import { parseByteSize } from '../terms/byte-size.js';
import { Failure } from '../terms/failure.js';
import { wallTime } from '../terms/wall-time.js';

/** From some time of the day on, how much may be sent. */
export interface UploadStep {
  /** Minutes since midnight, by the clock on the wall of the time zone of the schedule. */
  readonly minute: number;
  /** Bytes a second for all peers together; 0 means no limit. */
  readonly rate: number;
}

/** Steps in the order of the day. Before the first one, the last one of the day before holds. */
export type UploadLimit = readonly [UploadStep, ...UploadStep[]];

const howToWrite = 'Write a size for a second, such as 5MB, or times and sizes, such as "08:00 512KiB, 23:00 off".';

/**
 * Bytes a second. A peer gives an upload up that brings less than 64 KiB in a minute, so this carries three at a time; the others
 * wait for their turn.
 */
const leastRate = 8 * 1024;

/**
 * Reads a limit for the whole day (`5MB`, `0`, `off`) or a time table (`08:00 512KiB, 23:00 off`).
 * @throws Failure `config`
 */
export function parseUploadLimit(written: string | number): UploadLimit {
  const text = String(written).trim();
  if (!/[:,]/.test(text)) return [{ minute: 0, rate: parseRate(text) }];
  const steps = text.split(',').map(parseStep);
  steps.sort((a, b) => a.minute - b.minute);
  const [first, ...others] = steps;
  if (first === undefined || others.length === 0) return [{ minute: 0, rate: first?.rate ?? 0 }];
  const twin = others.find(({ minute }, index) => minute === steps[index]?.minute);
  if (twin !== undefined) throw wrong(text, `has ${formatMinute(twin.minute)} twice`);
  return [first, ...others];
}

function parseStep(part: string): UploadStep {
  const [, hours, minutes, rate] = /^\s*(\d{1,2}):(\d\d)(?:\s+(.*?))?\s*$/.exec(part) ?? [];
  if (hours === undefined) throw wrong(part.trim(), 'does not begin with a time of the day, such as 08:00');
  const minute = Number(hours) * 60 + Number(minutes);
  if (Number(hours) > 23 || Number(minutes) > 59) throw wrong(part.trim(), 'has a time that no day has');
  if (rate === undefined) throw wrong(part.trim(), 'says no size after the time');
  return { minute, rate: parseRate(rate) };
}

function parseRate(text: string): number {
  if (text === 'off') return 0;
  let rate: number;
  try {
    rate = parseByteSize(text);
  } catch (cause) {
    throw new Failure('config', `${JSON.stringify(text.slice(0, 80))} is neither a size nor \`off\``, {
      cause,
      hint: howToWrite,
    });
  }
  if (rate === 0 || rate >= leastRate) return rate;
  throw wrong(text, `is ${rate} bytes a second: no peer waits for that. The least is 8KiB`);
}

function wrong(text: string, why: string): Failure {
  return new Failure('config', `${JSON.stringify(text.slice(0, 80))} ${why}`, { hint: howToWrite });
}

/** The spelling of the configuration file: a number of bytes, or a time table. */
export function formatUploadLimit(limit: UploadLimit): number | string {
  const [first, ...others] = limit;
  if (others.length === 0) return first.rate;
  return limit.map(({ minute, rate }) => `${formatMinute(minute)} ${rate === 0 ? 'off' : rate}`).join(', ');
}

function formatMinute(minute: number): string {
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${two(Math.floor(minute / 60))}:${two(minute % 60)}`;
}

/** What holds at one moment. */
export interface UploadNow {
  /** Bytes a second for all peers together; 0 means no limit. */
  readonly rate: number;
  /** The time of the day up to which it holds, such as `23:00`; null when it always does. */
  readonly until: string | null;
}

/** @param moment milliseconds since 1970 */
export function uploadAt(limit: UploadLimit, timezone: string, moment: number): UploadNow {
  const [first, ...others] = limit;
  if (others.length === 0) return { rate: first.rate, until: null };
  const minute = Math.floor((wallTime(timezone, moment) % 86_400_000) / 60_000);
  const next = limit.findIndex((step) => step.minute > minute);
  return {
    rate: (limit.at(next - (next < 0 ? 0 : 1)) ?? first).rate,
    until: formatMinute((limit[next] ?? first).minute),
  };
}
