/** One attempt to bring a backup that the peer did not have whole. */
export interface Attempt {
  /** Bytes of it that the peer had before. */
  readonly from: number;
  /** How many were brought, with those. */
  readonly to: number;
}

/**
 * What gets no further, for whatever reason, holds up no newer one. A peer that has another part than before took something, or
 * lost it: then nothing that was brought before counts.
 */
export function gotFurther(attempt: Attempt, before: Attempt | undefined): boolean {
  return attempt.to > 0 && (attempt.from !== before?.from || attempt.to > before.to);
}
