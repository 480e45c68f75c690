/** What an event may carry beside its name. Never a secret; text from a peer is cleaned by whoever writes the log. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** One line an event. The event's name is a short phrase that stays stable, such as `backup accepted`. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}
