import type { RunEvent } from '../../mesh/generated/anemone/node/v1/node.js';
import type { Clock } from '../../mesh/terms/clock.js';

/** Least time between two events about the same set or delivery, in milliseconds. */
const gap = 200;

export interface Progress {
  /** Passes an event on, or holds it back when one like it passed just now. */
  emit(event: RunEvent): void;
  /** Passes on what is held back: the last word about everything. */
  flush(): void;
}

/** Thins out events of progress to five a second for each set and each delivery; reports, first and last events pass. */
export function thinned(clock: Clock, emit: (event: RunEvent) => void): Progress {
  const passedAt = new Map<string, number>();
  const heldBack = new Map<string, RunEvent>();
  return {
    emit(event) {
      const subject = subjectOf(event);
      const now = clock.monotonic();
      if (subject !== undefined && now - (passedAt.get(subject) ?? Number.NEGATIVE_INFINITY) < gap && !isLast(event)) {
        heldBack.set(subject, event);
        return;
      }
      if (subject !== undefined) {
        passedAt.set(subject, now);
        heldBack.delete(subject);
      }
      emit(event);
    },
    flush() {
      for (const event of heldBack.values()) emit(event);
      heldBack.clear();
    },
  };
}

function subjectOf({ event }: RunEvent): string | undefined {
  switch (event?.$case) {
    case 'seal':
      return event.value.set;
    case 'delivery':
      return `${event.value.peer} ${event.value.backup}`;
    default:
      return undefined;
  }
}

function isLast({ event }: RunEvent): boolean {
  return event?.$case === 'delivery' && event.value.bytes === event.value.total;
}
