/** How a run is told to end. */
export interface RunSignals {
  /** Aborts when it is to stop at once. */
  readonly stop: AbortSignal;
  /** Aborts when the next run waits, with why: what can be left is for later ones, and what is under way goes on by itself. */
  readonly hurry: AbortSignal;
}
