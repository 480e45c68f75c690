/** Runs work, when its turn has come. */
export type Turn = <T>(work: () => Promise<T>) => Promise<T>;

export interface TurnsByKey {
  turnOf(key: string): Turn;
  /** Resolves when nobody has a turn, or waits for one. */
  settled(): Promise<void>;
}

/** Work of one key runs one after the other, in the order of the calls; different keys do not wait for each other. */
export function turnsByKey(): TurnsByKey {
  const tails = new Map<string, Promise<unknown>>();
  return {
    turnOf: (key) => (work) => {
      const result = (tails.get(key) ?? Promise.resolve()).then(work);
      const tail = result
        .catch(() => undefined)
        .then(() => {
          if (tails.get(key) === tail) tails.delete(key);
        });
      tails.set(key, tail);
      return result;
    },
    async settled() {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}

/** At most `limit` pieces of work run at once; the others wait in the order of the calls. */
export function turnsOf(limit: number): Turn {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running === limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
