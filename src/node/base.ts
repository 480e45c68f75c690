import type { ServerIdentity } from '../mesh/identity/server-identity.js';
import type { Configured } from './follow-config.js';

/** What all parts of one node share. Its configuration is another one when the file has changed: read it when it is needed. */
export interface Base extends Configured {
  readonly self: ServerIdentity;
}
