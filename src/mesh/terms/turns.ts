/** Runs work, when its turn has come. */
export type Turn = <T>(work: () => Promise<T>) => Promise<T>;

/** Work of one key runs one after the other, in the order of the calls; different keys do not wait for each other. */
export function turnsByKey(): (key: string) => Turn {
  const tails = new Map<string, Promise<unknown>>();
  return (key) => (work) => {
    const result = (tails.get(key) ?? Promise.resolve()).then(work);
    const tail = result
      .catch(() => undefined)
      .then(() => {
        if (tails.get(key) === tail) tails.delete(key);
      });
    tails.set(key, tail);
    return result;
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
