import type { DoctorFacts } from './facts.js';

/** `error`: backups are not made, not kept or not to be opened. `warning`: they soon may not be. `advice`: it could be better. */
type Severity = 'error' | 'warning' | 'advice';

export interface Finding {
  readonly severity: Severity;
  /** What is wrong. */
  readonly problem: string;
  /** Why it matters. */
  readonly why: string;
  /** The command, or the change, that mends it. */
  readonly mend: string;
}

/** Looks at the facts, and at nothing else. No finding: all is well. Null: there was nothing to look at, so nobody knows. */
export type Check = (facts: DoctorFacts) => readonly Finding[] | null;

const finding =
  (severity: Severity) =>
  (problem: string, why: string, mend: string): Finding => ({ severity, problem, why, mend });

export const error = finding('error');
export const warning = finding('warning');
export const advice = finding('advice');
