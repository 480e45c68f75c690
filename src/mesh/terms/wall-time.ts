/** Each costs far more to make than to ask. */
const walls = new Map<string, Intl.DateTimeFormat>();

/**
 * What a clock on a wall in this time zone shows, as the moment at which one in UTC shows the same.
 * @param moment milliseconds since 1970, as is the answer, in whole seconds
 */
export function wallTime(timezone: string, moment: number): number {
  const wall = walls.get(timezone) ?? wallIn(timezone);
  walls.set(timezone, wall);
  const parts = new Map(wall.formatToParts(moment).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
}

function wallIn(timezone: string): Intl.DateTimeFormat {
  // English is the one language that every Node.js knows: in another, some would tell the time in this one all the same.
  return new Intl.DateTimeFormat('en', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
}
