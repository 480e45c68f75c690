import * as v from 'valibot';
import { timezone } from './values.js';

/** The time zone of this machine as a configuration takes it; null where it has no name, as with `TZ=GMT+2`. */
export function ownTimezone(): string | null {
  const { timeZone }: { timeZone?: string } = new Intl.DateTimeFormat().resolvedOptions();
  return timeZone !== undefined && v.is(timezone, timeZone) ? timeZone : null;
}
