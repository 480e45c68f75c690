import { describe, expect, it } from 'vitest';
import {
  certificatePem,
  issueNodeCertificate,
  verifyNodeCertificate,
} from '../../../src/mesh/identity/node-certificate.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { throwawayServer } from '../../support/identities.js';

describe('a node certificate that is sent along', () => {
  const { identity, certificate } = throwawayServer();

  it('is proven by the identity that issued it', () => {
    expect(verifyNodeCertificate(certificate.der, identity).epoch).toBe(certificate.epoch);
  });

  it.each([
    ['more bytes behind it', Buffer.concat([certificate.der, Buffer.alloc(16)])],
    ['another spelling', Buffer.from(certificatePem(certificate.der))],
  ])('is refused with %s, which would make endlessly many of one', (_, bytes) => {
    expect(() => verifyNodeCertificate(bytes, identity)).toThrow(expect.objectContaining({ kind: 'untrusted' }));
  });

  it('is refused with an epoch that no calendar has', () => {
    const { identityKey, identity } = deriveKeys(generateRecoveryKey());
    const nodePublicKey = certificate.publicKey;
    const issue = (epoch: number) =>
      issueNodeCertificate({ identity, identityKey, nodePublicKey, subject: 'FR1', epoch });
    const latest = 8.64e15;
    expect(new Date(verifyNodeCertificate(issue(latest).der, identity).epoch).toISOString()).toMatch(/^\+275760/);
    expect(() => issue(latest + 1)).toThrow(expect.objectContaining({ kind: 'untrusted' }));
  });

  it('is refused when it is longer than any that this program makes, also from the identity itself', () => {
    const keys = deriveKeys(generateRecoveryKey());
    const { identityKey, identity } = keys;
    const nodePublicKey = certificate.publicKey;
    const issue = (subject: string) =>
      issueNodeCertificate({ identity, identityKey, nodePublicKey, subject, epoch: 2 });
    expect(verifyNodeCertificate(issue('x'.repeat(63)).der, identity).epoch).toBe(2);
    expect(() => verifyNodeCertificate(issue('x'.repeat(100_000)).der, identity)).toThrow(
      expect.objectContaining({ kind: 'untrusted' }),
    );
  });
});
