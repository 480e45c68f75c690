import { join } from 'node:path';
import type { Writable } from 'node:stream';
import pino from 'pino';
import pretty from 'pino-pretty';
import { printable, redactSecrets } from '../../mesh/terms/clean-text.js';
import { type Clock, systemClock } from '../../mesh/terms/clock.js';
import type { Log, LogFields } from '../../mesh/terms/log.js';
import { openLogFile } from './log-file.js';

export interface LogOptions {
  /** The folder of `config-backup.log`; made when it is missing. */
  readonly folder: string;
  readonly stderr: Writable;
  /** Whether `stderr` is read by a person: lines for people then, JSON otherwise. The file is always JSON. */
  readonly terminal: boolean;
  /** Whether lines for people have colour; `terminal` unless given. */
  readonly colour?: boolean;
  /** The least level that is written. */
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly clock?: Clock;
  /** Bytes after which the file is put aside; 10 MiB unless given. */
  readonly size?: number;
}

export const logFileName = 'config-backup.log';

/** Keys of every line, which a field of an event may not replace. */
const ownKeys = ['level', 'time', 'event'];
const longestText = 2000;

/**
 * One line an event, to `<folder>/config-backup.log` and to standard error. Neither a full disk nor a closed standard
 * error stops the node: the other one goes on, and the file is tried again each minute. Text is made printable, cut, and
 * freed of anything that looks like a secret key.
 */
export function openLog(options: LogOptions): Log & { close(): Promise<void> } {
  const { folder, stderr, terminal, colour = terminal, level, clock = systemClock } = options;
  const forPeople = pretty.prettyFactory({
    colorize: colour,
    singleLine: true,
    messageKey: 'event',
    errorLikeObjectKeys: [],
    translateTime: 'SYS:standard',
  });
  stderr.on('error', () => {});
  const show = (line: string): void => {
    if (!stderr.destroyed) stderr.write(terminal ? forPeople(line) : line);
  };
  const file = openLogFile({
    folder,
    name: logFileName,
    clock,
    onChange(state, reason) {
      const path = join(folder, logFileName);
      if (state === 'works') write('info', 'log file works again', { path });
      else write('error', 'log file failed, standard error goes on', { path, reason });
    },
    ...(options.size === undefined ? {} : { size: options.size }),
  });
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'event',
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write(line: string) {
        show(line);
        file.write(line);
      },
    },
  );
  const write = (at: LogOptions['level'], event: string, fields: LogFields = {}): void => {
    logger[at](cleanFields(fields), clean(event));
  };
  return {
    debug: (event, fields) => write('debug', event, fields),
    info: (event, fields) => write('info', event, fields),
    warn: (event, fields) => write('warn', event, fields),
    error: (event, fields) => write('error', event, fields),
    close: () => file.close(),
  };
}

function cleanFields(fields: LogFields): LogFields {
  const entries = Object.entries(fields).map(([key, value]): [string, LogFields[string]] => {
    const name = clean(ownKeys.includes(key) ? `${key}_` : key);
    return [name, typeof value === 'string' ? clean(value) : value];
  });
  return Object.fromEntries(entries);
}

/** Secrets go before the text is cut, so that no half of one is left; what is far too long is not searched in full. */
function clean(text: string): string {
  return printable(redactSecrets(text.slice(0, 2 * longestText)), longestText);
}
