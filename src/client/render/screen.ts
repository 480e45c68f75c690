import { printable, printableJson } from '../../mesh/terms/clean-text.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Look, makeLook } from './look.js';
import type { Output } from './output.js';
import { type Progress, plainProgress, silentProgress, terminalProgress } from './progress.js';

/**
 * What a command may say. Results go to standard output, everything else to standard error. The text twin and the JSON
 * twin take the same calls, so a command says everything once.
 */
export interface Screen {
  /** Whether results are JSON: a command that would ask or draw something leaves it out then. */
  readonly json: boolean;
  /** The result of the command: one JSON document, indented at a terminal, or the text (without the last line break). */
  result(document: unknown, text: (look: Look) => string): void;
  /**
   * Waits until the results have left, for a command that cannot tell them again.
   * @throws Failure `failed` when they could not, also because nobody reads them
   */
  shown(): Promise<void>;
  /** One event of a stream: one JSON object a line; nothing in text, where progress and result say it. */
  event(document: unknown): void;
  /** Something good to know; `-q` hides it. */
  note(text: string): void;
  /** What the question that follows is about; `-q` does not hide it. */
  asked(text: string): void;
  /** Something to know when looking for a cause; only `-v` shows it. */
  detail(text: string): void;
  /** Something that should be looked at, although the command goes on. */
  warn(text: string): void;
  /** Why the command ends. With JSON it is also the one document, `{"error":{"kind","message","hint"}}`. */
  failure(failure: Failure): void;
  /** Lines that move, on standard error; nothing with `-q` or JSON. */
  progress(): Progress;
}

export interface ScreenOptions {
  readonly out: Output;
  readonly err: Output;
  readonly clock: Clock;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Whether the environment allows colour; a stream that is no terminal never gets any. */
  readonly colour: boolean;
}

export function makeScreen(options: ScreenOptions): Screen {
  const { out, err, clock, json, quiet, verbose, colour } = options;
  const outLook = makeLook(out.terminal, out.terminal && colour);
  const errLook = makeLook(err.terminal, err.terminal && colour);
  let moving: Progress = silentProgress;
  const say = (text: string): void => {
    moving.clear();
    err.write(`${text}\n`);
  };
  return {
    json,
    result(document, text) {
      moving.clear();
      const shown = json ? printableJson(document, out.terminal ? 2 : 0) : text(outLook);
      if (shown !== '') out.write(`${shown}\n`);
    },
    async shown() {
      const lost = await out.flushed();
      if (lost !== null) throw Failure.from(lost);
    },
    event(document) {
      if (json) out.write(`${printableJson(document)}\n`);
    },
    note(text) {
      if (!quiet) say(safe(text));
    },
    asked(text) {
      say(safe(text));
    },
    detail(text) {
      if (verbose) say(errLook.dim(safe(text)));
    },
    warn(text) {
      say(`${errLook.warning('warning:')} ${safe(text)}`);
    },
    failure({ kind, message, hint }) {
      if (json) out.write(`${printableJson({ error: { kind, message, hint: hint ?? null } })}\n`);
      say(`${errLook.bad('error:')} ${safe(message)}`);
      if (hint !== undefined) say(safe(hint));
    },
    progress() {
      if (quiet || json) return silentProgress;
      moving = err.terminal ? terminalProgress(err, clock) : plainProgress(err, clock);
      return moving;
    },
  };
}

/**
 * Text that may hold words of a peer or a file: lines stay, whatever else moves the cursor does not. Nothing is cut, for a
 * line may be a command to paste; how long such words may be, whoever takes them from a peer or a file decides.
 */
function safe(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line, Number.POSITIVE_INFINITY))
    .join('\n');
}
