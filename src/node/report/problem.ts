import type { Problem } from '../../mesh/generated/anemone/node/v1/node.js';
import type { Failure } from '../../mesh/terms/failure.js';

/** A failure as a report tells it. */
export function problemOf(failure: Failure): Problem {
  return { kind: failure.kind, message: failure.message, hint: failure.hint ?? '' };
}
