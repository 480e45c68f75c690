import type { SetReport } from '../../mesh/generated/anemone/node/v1/node.js';
import { printable } from '../../mesh/terms/clean-text.js';
import type { Log } from '../../mesh/terms/log.js';

/** A report has to fit into one message, and the history remembers a thousand: what it names, and how long one may be. */
const most = 100;
const longest = 300;

/** What a source says while its set is kept: the log names all of it, the report the first of it. */
export interface SetWarnings {
  warn(message: string): void;
  /** For the log alone. */
  remark(message: string): void;
  /** What the report says of it so far. */
  told(): Pick<SetReport, 'warnings' | 'moreWarnings'>;
}

export function setWarnings(set: string, log: Log): SetWarnings {
  const warnings: string[] = [];
  let moreWarnings = 0;
  return {
    warn(message) {
      log.warn('source warned', { set, reason: message });
      if (warnings.length < most) warnings.push(printable(message, longest));
      else moreWarnings += 1;
    },
    remark: (message) => log.warn('source remarked', { set, reason: message }),
    told: () => ({ warnings: [...warnings], moreWarnings }),
  };
}
