/** Whether these are milliseconds since 1970 that a Date can say (ECMA-262, time values), so that they can be shown. */
export function isMoment(ms: unknown): ms is number {
  return Number.isInteger(ms) && (ms as number) >= 0 && (ms as number) <= 8.64e15;
}
