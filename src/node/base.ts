import type { Config } from '../mesh/config/config.js';
import type { ServerIdentity } from '../mesh/identity/server-identity.js';
import type { Clock } from '../mesh/terms/clock.js';
import type { Log } from '../mesh/terms/log.js';

/** What all parts of one node share. */
export interface Base {
  /** Another one when its file has changed: read it when it is needed. */
  config: Config;
  readonly self: ServerIdentity;
  readonly log: Log;
  readonly clock: Clock;
}
