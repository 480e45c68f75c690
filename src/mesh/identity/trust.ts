import { constants } from 'node:crypto';
import { addAbortSignal } from 'node:stream';
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { type Address, formatAddress } from '../terms/address.js';
import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';
import type { Identity } from './identity.js';
import {
  certificatePem,
  type NodeCertificate,
  readNodeCertificate,
  verifyNodeCertificate,
  visitorEpoch,
} from './node-certificate.js';
import { nodeKeyPem, type ServerIdentity } from './server-identity.js';

// Both sides of a connection prove who the other one is in the same way. TLS 1.3 proves that it holds the key of the certificate
// that it shows: a certificate is public, and whoever has only that cannot end the handshake. That an identity issued the
// certificate is proven here, by its signature, when the handshake is over and before a byte of HTTP/2 is read or written.
// OpenSSL is not asked: it would look at dates, by a clock that may be wrong, and at whatever chain it was sent.

/** What we show; no authorities, in place of which Node would load the public ones. */
function shownBy(self: ServerIdentity): SecureContextOptions {
  return { key: nodeKeyPem(self), cert: certificatePem(self.certificate.der), ca: [], minVersion: 'TLSv1.3' };
}

/**
 * Options of the node's listener: TLS 1.3, and a certificate from everyone, which {@link callerOf} proves. There is no
 * resumption, because a resumed session would skip the certificate.
 */
export function listenerOptions(self: ServerIdentity): TlsOptions {
  return {
    ...shownBy(self),
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    secureOptions: constants.SSL_OP_NO_TICKET,
    // Whoever calls gives up after this time, too.
    handshakeTimeout: 10_000,
  };
}

/**
 * The proven certificate of whoever connected to the listener.
 * @param trusted the identities that are let in
 * @throws Failure `untrusted` for a stranger; its message is for our own log
 */
export function callerOf(socket: TLSSocket, trusted: ReadonlySet<string>): NodeCertificate {
  const { raw } = socket.getPeerCertificate();
  if (raw === undefined) throw new Failure('untrusted', 'showed no certificate');
  const { identity } = readNodeCertificate(raw);
  if (!trusted.has(identity)) {
    throw new Failure('untrusted', `showed a certificate of ${identity}, which is no peer of this server`);
  }
  return verifyNodeCertificate(raw, identity);
}

/** Made once for each: OpenSSL reads the same key anew for every context. */
const contexts = new WeakMap<ServerIdentity, SecureContext>();

/** Options of every call, whoever is called: {@link proveServer} says whether it is the one who answers. */
export function callerOptions(self: ServerIdentity): ConnectionOptions {
  const secureContext = contexts.get(self) ?? createSecureContext(shownBy(self));
  contexts.set(self, secureContext);
  return {
    secureContext,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    // The certificate says who a peer is, not its name; an IP address as a server name would be a warning.
    servername: 'anemone-peer',
  };
}

/** What a person calls the server of an identity; undefined for one that is not known. */
type NameOf = (identity: Identity) => string | undefined;

/**
 * Proves that it is this server that answers.
 * @throws Failure `untrusted`, which says who is there instead
 */
export function proveServer(socket: TLSSocket, expected: Identity, nameOf: NameOf): NodeCertificate {
  const { raw } = socket.getPeerCertificate();
  let certificate: NodeCertificate;
  try {
    certificate = verifyNodeCertificate(raw, expected);
  } catch (cause) {
    throw instead(raw, expected, nameOf, cause);
  }
  if (certificate.epoch === visitorEpoch)
    throw answersThere('another server', 'a visitor, which may read and not serve');
  return certificate;
}

/** That somebody else answers than the one that was called. */
function instead(raw: Buffer, expected: Identity, nameOf: NameOf, cause: unknown): Failure {
  try {
    const identity = issuerOf(raw);
    return answersThere(nameOf(identity) ?? 'another server', `identity ${identity}, expected ${expected}`, cause);
  } catch (thrown) {
    return answersThere('another server', `${Failure.from(thrown).message}, expected ${expected}`, cause);
  }
}

/** The identity that issued a certificate, proven. @throws Failure `untrusted` */
function issuerOf(raw: Buffer): Identity {
  const { identity } = readNodeCertificate(raw);
  return verifyNodeCertificate(raw, identity).identity;
}

function answersThere(who: string, shown: string, cause?: unknown): Failure {
  return new Failure('untrusted', `${who} answers there (${shown})`, {
    cause,
    // The right one may be there again at the next try.
    retryable: true,
    hint:
      'Look at the address, and at what listens there. If that server has another address now, `anemone-peer peer add` with ' +
      'it changes the peer. If it was set up anew, it has another identity, and each of its peers must be told: ' +
      '`anemone-peer peer remove`, then `anemone-peer peer add`.',
  });
}

/**
 * Asks the node at an address who it is, for a person to confirm. It proves only that the node holds a key issued by the
 * identity that is returned.
 * @param options.patience milliseconds that it may take
 * @throws Failure `unreachable`, `interrupted`, or `untrusted` when it is no node of a mesh
 */
export function askIdentity(
  address: Address,
  self: ServerIdentity,
  options: { readonly clock: Clock; readonly patience: number; readonly signal: AbortSignal },
): Promise<Identity> {
  const where = formatAddress(address);
  return new Promise((resolve, reject) => {
    const socket = connect({ ...address, ...callerOptions(self) });
    addAbortSignal(options.signal, socket);
    const stopTimer = options.clock.after(options.patience, () => {
      socket.destroy(new Failure('unreachable', `${where} does not answer`));
    });
    socket.once('secureConnect', () => {
      try {
        resolve(issuerOf(socket.getPeerCertificate().raw));
      } catch (error) {
        reject(new Failure('untrusted', `${where} is not a node of an anemone-peer mesh`, { cause: error }));
      }
      socket.destroy();
    });
    socket.once('error', (error) => {
      const isOurs = error instanceof Failure || error.name === 'AbortError';
      const unreachable = (): Failure => new Failure('unreachable', `${where}: ${error.message}`, { cause: error });
      reject(isOurs ? Failure.from(error, where) : unreachable());
    });
    socket.once('close', stopTimer);
  });
}
