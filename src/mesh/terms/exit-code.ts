import type { FailureKind } from './failure.js';

/** The one translation of a Failure into the exit code of a program; 0 is none, and 3 that something was done in part. */
export const exitCodes: Readonly<Record<FailureKind, number>> = {
  failed: 1,
  usage: 2,
  config: 2,
  'not-found': 10,
  locked: 11,
  'wrong-key': 12,
  untrusted: 13,
  forbidden: 13,
  conflict: 13,
  'no-space': 13,
  invalid: 13,
  damaged: 13,
  unreachable: 75,
  timeout: 75,
  interrupted: 130,
};
