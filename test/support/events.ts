import type { Log, LogFields } from '../../src/mesh/terms/log.js';

/** One line of a node's log. */
export interface NodeEvent {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

/** What a node said, and a way to wait for what it will say. */
export interface Events extends Log {
  readonly all: readonly NodeEvent[];
  record(event: NodeEvent): void;
  /**
   * Resolves with the first such event, one that has passed included; rejects when it does not come within `patience`
   * milliseconds, and tells what came instead.
   */
  until(event: string, matches?: (fields: LogFields) => boolean, patience?: number): Promise<NodeEvent>;
  /** How many such events there were. */
  count(event: string, matches?: (fields: LogFields) => boolean): number;
  /** Forgets what passed. */
  clear(): void;
}

/** For whoever does not look into it. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export function watchEvents(): Events {
  let all: NodeEvent[] = [];
  const waiting = new Set<(event: NodeEvent) => void>();
  const record = (event: NodeEvent): void => {
    all.push(event);
    for (const look of [...waiting]) look(event);
  };
  const at =
    (level: string) =>
    (event: string, fields: LogFields = {}): void =>
      record({ level, event, fields });
  return {
    get all() {
      return all;
    },
    record,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    until(name, matches = () => true, patience = 60_000) {
      const isIt = ({ event, fields }: NodeEvent): boolean => event === name && matches(fields);
      const passed = all.find(isIt);
      if (passed !== undefined) return Promise.resolve(passed);
      return new Promise((resolve, reject) => {
        const look = (event: NodeEvent): void => {
          if (!isIt(event)) return;
          end();
          resolve(event);
        };
        const timer = setTimeout(() => {
          end();
          const came = all.map(({ event, fields }) => `${event} ${JSON.stringify(fields)}`).join('\n');
          reject(new Error(`"${name}" did not come. What came:\n${came}`));
        }, patience);
        const end = (): void => {
          clearTimeout(timer);
          waiting.delete(look);
        };
        waiting.add(look);
      });
    },
    count: (name, matches = () => true) => all.filter(({ event, fields }) => event === name && matches(fields)).length,
    clear() {
      all = [];
    },
  };
}
