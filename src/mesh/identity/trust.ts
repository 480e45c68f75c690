import { constants } from 'node:crypto';
import { type ConnectionOptions, connect, type SecureContextOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import { formatAddress } from '../terms/address.js';
import { printable } from '../terms/clean-text.js';
import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';
import { type Identity, parseIdentity } from './identity.js';
import {
  anchorPem,
  certificatePem,
  type NodeCertificate,
  readNodeCertificate,
  verifyNodeCertificate,
} from './node-certificate.js';
import { nodeKeyPem, type ServerIdentity } from './server-identity.js';

/** What a node shows and whom it lets in; given again to `setSecureContext` when its peers change. */
export function secureContext(self: ServerIdentity, trusted: readonly Identity[]): SecureContextOptions {
  return {
    key: nodeKeyPem(self),
    cert: certificatePem(self.certificate.der),
    // Without any anchor Node would fall back to the public authorities; its own identity is harmless.
    ca: [self.identity, ...trusted].map(anchorPem),
  };
}

/**
 * Options of the node's listener: TLS 1.3, and a certificate from everyone. There is no resumption, because a resumed
 * session would skip the certificate.
 *
 * A certificate that does not lead to an anchor ends in {@link callerOf}, before a byte of HTTP/2 is read. Node would do the
 * same by itself with `rejectUnauthorized`, but would not say who was refused and why.
 */
export function listenerOptions(self: ServerIdentity, trusted: readonly Identity[]): TlsOptions {
  return {
    ...secureContext(self, trusted),
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['h2'],
    secureOptions: constants.SSL_OP_NO_TICKET,
    // Whoever calls gives up after this time, too.
    handshakeTimeout: 10_000,
  };
}

/**
 * The proven certificate of whoever connected to the listener.
 * @throws Failure `untrusted` for a stranger; its message is for our own log
 */
export function callerOf(socket: TLSSocket): NodeCertificate {
  const { raw, issuer } = socket.getPeerCertificate();
  const claimed = issuer?.CN;
  if (!socket.authorized || claimed === undefined) {
    const who = claimed === undefined ? 'no certificate' : `a certificate of ${printable(String(claimed), 60)}`;
    throw new Failure('untrusted', `showed ${who}: ${String(socket.authorizationError)}`);
  }
  // OpenSSL is content with the anchor of any peer at the end of a chain, and that peer can call an issuer in between what it
  // likes.
  return verifyNodeCertificate(raw, parseIdentity(String(claimed)));
}

/** What calling one peer needs: our certificate, and nobody but that peer on the other side. */
export function callerOptions(self: ServerIdentity, peer: Identity): ConnectionOptions {
  return {
    ca: anchorPem(peer),
    key: nodeKeyPem(self),
    cert: certificatePem(self.certificate.der),
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['h2'],
    // The certificate says who a peer is, not its name; an IP address as a server name would be a warning.
    servername: 'anemone-peer',
    checkServerIdentity: (_name, { issuer }) =>
      issuer.CN === peer ? undefined : new Error(`the server is ${issuer.CN}, not ${peer}`),
  };
}

/**
 * Asks the node at an address who it is, for a person to confirm. It proves only that the node holds a key issued by the
 * identity that is returned.
 * @throws Failure `unreachable`, or `untrusted` when it is no node of a mesh
 */
export function askIdentity(
  address: { readonly host: string; readonly port: number },
  self: ServerIdentity,
  clock: Clock,
): Promise<Identity> {
  const where = formatAddress(address);
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...address,
      key: nodeKeyPem(self),
      cert: certificatePem(self.certificate.der),
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
    });
    const stopTimer = clock.after(10_000, () => {
      socket.destroy(new Failure('unreachable', `${where} does not answer`));
    });
    socket.once('secureConnect', () => {
      try {
        const { raw } = socket.getPeerCertificate();
        const { identity } = readNodeCertificate(raw);
        verifyNodeCertificate(raw, identity);
        resolve(identity);
      } catch (error) {
        reject(new Failure('untrusted', `${where} is not a node of an anemone-peer mesh`, { cause: error }));
      }
      socket.destroy();
    });
    socket.once('error', (error) => {
      reject(
        error instanceof Failure ? error : new Failure('unreachable', `${where}: ${error.message}`, { cause: error }),
      );
    });
    socket.once('close', stopTimer);
  });
}
