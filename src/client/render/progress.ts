import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { printable } from '../../mesh/terms/clean-text.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { formatDuration } from './moments.js';
import type { Output } from './output.js';
import { measureRate, type Rate } from './rate.js';

/** Progress of several things at once, a line each, known by its label (a peer's name, a set). */
export interface Progress {
  /** @param total bytes when it is whole; 0 when nobody knows */
  update(label: string, bytes: number, total: number): void;
  /** The thing is over; `text` says how. */
  finish(label: string, text: string): void;
  /** Takes moving lines off the screen for something else to be written; they come back by themselves. */
  clear(): void;
  /** Everything is over. Lines that did not finish disappear. */
  end(): void;
}

interface Moving {
  bytes: number;
  total: number;
  readonly rate: Rate;
  /** When a plain line was last written about it; monotonic milliseconds. */
  told: number;
}

export const silentProgress: Progress = { update() {}, finish() {}, clear() {}, end() {} };

/** What takes less than this many milliseconds is not worth a moving line. */
const patience = 1000;
const frame = 100;
/** Milliseconds between two plain lines about the same thing. */
const plainInterval = 10_000;

/** Lines redrawn in place. What finishes leaves its last line behind. */
export function terminalProgress(output: Output, clock: Clock): Progress {
  const lines = new Map<string, Moving>();
  const started = clock.monotonic();
  let drawn = 0;
  let stopTimer: (() => void) | undefined;
  const clear = (): void => {
    if (drawn > 0) output.write(`\x1b[${drawn}A\x1b[0J`);
    drawn = 0;
  };
  const draw = (): void => {
    stopTimer = clock.after(frame, draw);
    clear();
    if (clock.monotonic() - started < patience || lines.size === 0) return;
    const width = Math.max(...[...lines.keys()].map((label) => label.length));
    const texts = [...lines].map(([label, line]) =>
      `${label.padEnd(width)}  ${describe(line)}`.slice(0, output.columns() - 1),
    );
    output.write(texts.map((text) => `${text}\n`).join(''));
    drawn = texts.length;
  };
  return {
    update(label, bytes, total) {
      advance(lines, clock, label, bytes, total);
      stopTimer ??= clock.after(frame, draw);
    },
    finish(label, text) {
      lines.delete(printable(label));
      clear();
      output.write(`${printable(label)}: ${printable(text)}\n`);
    },
    clear,
    end() {
      stopTimer?.();
      stopTimer = undefined;
      lines.clear();
      clear();
    },
  };
}

/** Plain lines: one for what takes long, every ten seconds, and one for what finishes. */
export function plainProgress(output: Output, clock: Clock): Progress {
  const lines = new Map<string, Moving>();
  return {
    update(label, bytes, total) {
      const line = advance(lines, clock, label, bytes, total);
      const now = clock.monotonic();
      if (now - line.told < plainInterval) return;
      line.told = now;
      output.write(`${printable(label)}: ${describe(line)}\n`);
    },
    finish(label, text) {
      lines.delete(printable(label));
      output.write(`${printable(label)}: ${printable(text)}\n`);
    },
    clear() {},
    end() {
      lines.clear();
    },
  };
}

function advance(lines: Map<string, Moving>, clock: Clock, label: string, bytes: number, total: number): Moving {
  const key = printable(label);
  const line = lines.get(key) ?? { bytes, total, rate: measureRate(clock), told: clock.monotonic() };
  line.bytes = bytes;
  line.total = total;
  line.rate.reach(bytes);
  lines.set(key, line);
  return line;
}

/** `12.0 MiB of 1.20 GiB (1 %), 3.1 MiB/s, 6 min 30 s left` */
function describe({ bytes, total, rate }: Moving): string {
  const speed = rate.perSecond();
  const parts = [formatByteSize(bytes)];
  if (total > 0) parts[0] += ` of ${formatByteSize(total)} (${Math.floor((bytes / total) * 100)} %)`;
  if (speed === 0 || (total > 0 && bytes >= total)) return parts.join(', ');
  parts.push(`${formatByteSize(speed)}/s`);
  if (total > 0) parts.push(`${formatDuration(((total - bytes) / speed) * 1000)} left`);
  return parts.join(', ');
}
