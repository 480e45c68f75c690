import {
  bits,
  explicit,
  generalizedTime,
  integer,
  octets,
  oid,
  sequence,
  set,
  utcTime,
  utf8,
  yes,
} from '../../src/mesh/identity/der.js';
import { type Identity, identityKey } from '../../src/mesh/identity/identity.js';
import { certificatePem } from '../../src/mesh/identity/node-certificate.js';

/**
 * A trust anchor made of nothing but an identity. OpenSSL does not check an anchor's own signature, so these 64 bytes are zeros;
 * what it checks is that a node certificate is signed by the key in here. So version 0.1.0 proved who the other side is, and so can
 * any other program.
 */
export function anchorPem(identity: Identity): string {
  const ed25519 = sequence(oid('2b6570'));
  const name = sequence(set(sequence(oid('550403'), utf8(identity))));
  const critical = (id: string, content: Buffer): Buffer => sequence(oid(id), yes, octets(content));
  const body = sequence(
    explicit(0, integer(2n)),
    integer(1n),
    ed25519,
    name,
    sequence(utcTime('200101000000Z'), generalizedTime('99991231235959Z')),
    name,
    identityKey(identity).export({ format: 'der', type: 'spki' }),
    explicit(3, sequence(critical('551d13', sequence(yes)), critical('551d0f', bits(Buffer.from([4]), 2)))),
  );
  return certificatePem(sequence(body, ed25519, bits(Buffer.alloc(64))));
}
