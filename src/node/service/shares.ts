/**
 * Of what each caller may take so much at a time. One node key has its share, so that a stolen one takes nothing from the server
 * that was rebuilt; a crowd of keys together has two, because an identity may issue itself any number of them.
 */
export interface Shares {
  /** @returns what gives it back, more than once does no harm; or how many the caller has, where that is all that it may */
  take(key: string, crowd: string): (() => void) | number;
  /** Waits until the caller may have one more; who waits takes nothing yet. @returns what gives it back */
  wait(key: string, crowd: string): Promise<() => void>;
}

export function openShares(ofOneKey: number): Shares {
  const taken = new Map<string, number>();
  const count = (who: string, change: number): void => {
    const now = (taken.get(who) ?? 0) + change;
    if (now === 0) taken.delete(who);
    else taken.set(who, now);
  };
  let waiting: (() => void)[] = [];
  const take: Shares['take'] = (key, crowd) => {
    const limits = new Map([
      [`key ${key}`, ofOneKey],
      [`crowd ${crowd}`, 2 * ofOneKey],
    ]);
    for (const [who, most] of limits) if ((taken.get(who) ?? 0) >= most) return most;
    for (const who of limits.keys()) count(who, 1);
    return () => {
      for (const who of limits.keys()) count(who, -1);
      limits.clear();
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    };
  };
  return {
    take,
    async wait(key, crowd) {
      for (;;) {
        const giveBack = take(key, crowd);
        if (typeof giveBack !== 'number') return giveBack;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}
