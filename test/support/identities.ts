import { deriveKeys, generateRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../src/mesh/identity/server-identity.js';

/** A server that exists only in this test. */
export function throwawayServer(subject = 'FR1', epoch = 1_700_000_000_000): ServerIdentity {
  return makeServerIdentity(deriveKeys(generateRecoveryKey()), subject, epoch);
}
