import type { Clock } from '../../mesh/terms/clock.js';
import type { Log, LogFields } from '../../mesh/terms/log.js';

/** A log for what others can make happen as often as they like. */
export interface ThrottledLog extends Log {
  /**
   * Writes at once what has not happened within the last minute. What happens again is counted, and its last line written
   * once a minute, with `times`.
   * @param key what counts as the same, such as an event and an address
   */
  again(key: string, level: 'info' | 'warn', event: string, fields: LogFields): void;
  /** Writes what was counted and not told yet. The log below goes on. */
  close(): void;
}

/** Milliseconds. */
const gap = 60_000;
/** Different keys at a time; beyond, they count as one, so that many addresses are no way around it. */
const mostKeys = 100;

interface Happening {
  /** Since the last line. */
  count: number;
  write(times: LogFields): void;
  readonly cancel: () => void;
}

export function openThrottledLog(log: Log, clock: Clock): ThrottledLog {
  const happenings = new Map<string, Happening>();

  const watch = (key: string, write: Happening['write']): void => {
    const happening: Happening = { count: 0, write, cancel: clock.after(gap, () => minuteOver(key, happening)) };
    happenings.set(key, happening);
  };
  const flush = ({ count, write }: Happening): void => write(count === 1 ? {} : { times: count });
  const minuteOver = (key: string, happening: Happening): void => {
    happenings.delete(key);
    if (happening.count === 0) return;
    flush(happening);
    watch(key, happening.write);
  };

  return {
    debug: (event, fields) => log.debug(event, fields),
    info: (event, fields) => log.info(event, fields),
    warn: (event, fields) => log.warn(event, fields),
    error: (event, fields) => log.error(event, fields),
    again(wanted, level, event, fields) {
      const key = happenings.has(wanted) || happenings.size < mostKeys ? wanted : '';
      const write = (times: LogFields): void => log[level](event, { ...fields, ...times });
      const known = happenings.get(key);
      if (known === undefined) {
        write({});
        watch(key, write);
        return;
      }
      known.count += 1;
      known.write = write;
    },
    close() {
      for (const happening of happenings.values()) {
        happening.cancel();
        if (happening.count > 0) flush(happening);
      }
      happenings.clear();
    },
  };
}
