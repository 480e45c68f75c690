/** Units with how many milliseconds each has, largest first. */
const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const;

/** A span of time for people, in the two largest units that matter: `1 min 20 s`, `3 h`, `2 d 4 h`, `under 1 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000) * 1000;
  const first = units.findIndex(([, length]) => seconds >= length);
  if (first < 0) return 'under 1 s';
  const parts = units.slice(first, first + 2).map(([unit, length], index) => {
    const above = index === 0 ? Number.POSITIVE_INFINITY : (units[first]?.[1] ?? 1);
    return { unit, count: Math.floor((seconds % above) / length) };
  });
  return parts
    .filter(({ count }) => count > 0)
    .map(({ unit, count }) => `${count} ${unit}`)
    .join(' ');
}

/** A moment as seen from now: `3 h ago`, `in 20 min`, `now`; `never` for 0. */
export function formatMoment(moment: number, now: number): string {
  if (moment === 0) return 'never';
  const away = Math.abs(moment - now);
  if (away < 1000) return 'now';
  return moment < now ? `${formatDuration(away)} ago` : `in ${formatDuration(away)}`;
}

/** A moment for a report: `2026-11-23 01:00:00 UTC`. */
export function formatTime(moment: number): string {
  return `${new Date(moment).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
