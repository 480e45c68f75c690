import type { PeerConfig } from '../../mesh/config/config.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { type NodeCertificate, visitorEpoch } from '../../mesh/identity/node-certificate.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Admission } from './call.js';
import type { Epochs } from './epochs.js';

/** A peer that proved who it is. */
export interface Caller {
  readonly name: Hostname;
  readonly identity: Identity;
  /** Fingerprint of its node key, of which an identity may have several. */
  readonly key: string;
  /** Bytes it may store here; 0 means no limit. */
  readonly quota: number;
  /** Owners, beside itself, whose backups it may list and fetch. */
  readonly reads: readonly Hostname[];
}

/** What a caller must be for a call. */
export interface Demands {
  /** It writes: a visitor may not. */
  readonly writes?: boolean;
  /** A superseded node key may make this call, to learn which epoch to beat. */
  readonly supersededToo?: boolean;
}

/**
 * Knows a caller by the certificate that the handshake has proven: its issuer is the identity, and the identity is looked
 * up among the peers of this moment. Nothing that the caller says about itself counts.
 */
export function admission(
  peers: () => readonly PeerConfig[],
  epochs: Epochs,
  seen: (name: Hostname) => void,
  demands: Demands = {},
): Admission<Caller> {
  return async ({ certificate }) => {
    if (certificate === undefined) throw new Failure('untrusted', 'you showed no certificate');
    const peer = peers().find((candidate) => candidate.enabled && candidate.identity === certificate.identity);
    if (peer === undefined) throw new Failure('untrusted', 'you are not a peer of this server');
    if (await admitEpoch(certificate, peer.name, epochs, demands)) seen(peer.name);
    const { name, quota, reads } = peer;
    return { name, identity: certificate.identity, key: certificate.fingerprint, quota, reads };
  };
}

/** @returns whether it is the server itself: a visitor and a lost machine say nothing of whether that is awake */
async function admitEpoch(
  certificate: NodeCertificate,
  name: Hostname,
  epochs: Epochs,
  { writes = false, supersededToo = false }: Demands,
): Promise<boolean> {
  if (certificate.epoch === visitorEpoch) {
    if (writes) throw new Failure('forbidden', `the node key is for a visit: ${name} may read with it, not write`);
    return false;
  }
  const admitted = await epochs.admit(certificate, name).catch((thrown: unknown) => {
    // It is a newer key, and this disk does not take it: a server that was rebuilt must be able to read what is kept for it.
    if (writes) throw thrown;
    return true;
  });
  if (!admitted && !supersededToo) {
    throw new Failure('untrusted', `this node key of ${name} is superseded: the server was rebuilt with a newer one`, {
      hint:
        `If this is the right server, bring it back where its files are: anemone-peer restore --server ${name} --peer ADDRESS ` +
        '(`anemone-peer doctor` there shows the whole command). If it is not, nothing is to be done.',
    });
  }
  return admitted;
}
