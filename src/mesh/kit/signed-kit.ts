import type { Identity } from '../identity/identity.js';
import { type Signer, verifySignature } from '../identity/signer.js';
import { formatAddress } from '../terms/address.js';
import { Failure } from '../terms/failure.js';
import type { Kit } from './kit.js';

/** A kit as a file tells it. Nothing in it is believed before {@link verifyKit}. */
export interface SignedKit {
  readonly kit: Kit;
  readonly signature: Buffer;
  /** DER of the node certificate of the server. */
  readonly certificate: Buffer;
}

/**
 * A kit may lie in a mailbox for years, and a VPN configuration can name commands that run as root: so the server signs
 * it, and a restore believes only what the identity of the recovery key stands behind.
 */
export function signKit(kit: Kit, signer: Signer): SignedKit {
  return { kit, signature: signer.sign('kit', signedBytes(kit)), certificate: signer.certificate };
}

/**
 * @param identity what the recovery key derives
 * @throws Failure `wrong-key` when the kit is of another server, `untrusted` when that server did not sign it
 */
export function verifyKit({ kit, signature, certificate }: SignedKit, identity: Identity, label: string): Kit {
  if (kit.identity !== identity) {
    throw new Failure('wrong-key', `this is the recovery key of another server than ${kit.server}`, {
      hint: `${label} is of ${kit.identity}; the key given is the one of ${identity}.`,
    });
  }
  try {
    verifySignature('kit', { bytes: signedBytes(kit), signature, certificate }, identity);
  } catch (cause) {
    throw new Failure('untrusted', `${label} was changed after ${kit.server} made it: its signature does not match`, {
      cause,
      hint: `Take another copy, or do without: restore --server ${kit.server} --peer ADDRESS`,
    });
  }
  return kit;
}

/** The facts in one spelling, whatever a mail program did to line ends and columns of the text. */
function signedBytes({ server, identity, address, recipients, peers, vpn }: Kit): Buffer {
  const files = vpn.files.map((file) => [file.path, file.size, 'content' in file ? file.content : null]);
  return Buffer.from(
    JSON.stringify([
      1,
      server,
      identity,
      formatAddress(address),
      recipients,
      peers.map((peer) => [peer.name, formatAddress(peer.address), peer.identity]),
      [vpn.kind, files, vpn.kind === 'sealed' ? vpn.armor.split(/\s+/).filter((word) => word !== '') : null],
    ]),
  );
}
