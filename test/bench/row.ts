/** One line of the result: what was to be reached, and what was. */
export interface Row {
  readonly work: string;
  /** Such as `at least 1.5 x`; empty for a row that was skipped. */
  readonly goal: string;
  /** In the unit of the goal; null for a row that was skipped. */
  readonly value: number | null;
  readonly unit: string;
  readonly met: boolean | null;
  /** The medians behind the value, or why the row was skipped. */
  readonly detail: string;
}

/** What a family of rows gets from outside. */
export interface Bench {
  /** A folder of its own, on the disk that is measured; removed afterwards. */
  readonly folder: string;
  /** Bytes of the large file. */
  readonly size: number;
  /** How often every contender works. */
  readonly rounds: number;
  /** Arguments for every Node that takes part, such as those of `--profile`. */
  readonly nodeFlags: readonly string[];
  /** Called when the family is over, last one first, whatever became of it. */
  defer(close: () => Promise<unknown> | unknown): void;
}

/** Rows that are measured together. */
export interface Family {
  readonly name: string;
  /** Why it cannot be measured on this machine; null when it can. */
  missing(): string | null;
  run(bench: Bench): Promise<Row[]>;
}

export function atLeast(work: string, goal: number, unit: string, value: number, detail: string): Row {
  return { work, goal: `at least ${goal} ${unit}`, value, unit, met: value >= goal, detail };
}

export function atMost(work: string, goal: number, unit: string, value: number, detail: string): Row {
  return { work, goal: `at most ${goal} ${unit}`, value, unit, met: value <= goal, detail };
}

/** A figure that is told without a goal. */
export function told(work: string, unit: string, value: number, detail: string): Row {
  return { work, goal: '', value, unit, met: null, detail };
}

export function skipped(work: string, why: string): Row {
  return { work, goal: '', value: null, unit: '', met: null, detail: `skipped: ${why}` };
}
