import { Failure, type FailureKind } from '../terms/failure.js';

/** What OpenSSL calls a certificate that does not lead to the identity of the one who was called. */
const strange = /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_SIGNATURE_FAILURE)/;

/** Whether a connection failed because whoever answered is another server than the one that was called. */
export function isAnotherServer(cause: unknown): boolean {
  return strange.test(String((cause as NodeJS.ErrnoException | undefined)?.code));
}

/**
 * Another server answers at the address of a peer.
 * @param whom the peer, as a person calls it: `FR2 (10.8.0.2:7443)`
 * @param shown who it is, where it was asked: `identity …, expected …`
 */
export function anotherServer(kind: FailureKind, whom: string, cause: unknown, shown = ''): Failure {
  const who = shown === '' ? '' : ` (${shown})`;
  return new Failure(kind, `${whom}: another server answers there${who}`, {
    cause,
    hint:
      'Look at the address, and at what listens there. If that server was set up anew, it has another identity, and each of ' +
      'its peers must be told: `anemone-peer peer remove`, then `anemone-peer peer add`.',
  });
}
