import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { Failure, type FailureKind } from '../../../src/mesh/terms/failure.js';
import { failureFromStatus, statusFromFailure } from '../../../src/mesh/wire/status.js';

function received(code: status, details: string, metadata = new Metadata()): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata });
}

describe('a failure on the wire', () => {
  const kinds: FailureKind[] = [
    'usage',
    'config',
    'not-found',
    'locked',
    'wrong-key',
    'damaged',
    'untrusted',
    'forbidden',
    'conflict',
    'no-space',
    'invalid',
    'unreachable',
    'timeout',
    'interrupted',
    'failed',
  ];

  it.each(kinds)('of kind %s arrives as what it was, with its hint, and whether a retry helps', (kind) => {
    for (const retryable of [true, false]) {
      const sent = statusFromFailure(new Failure(kind, 'it broke', { hint: 'mend it', retryable }));
      const { code = status.OK, details = '', metadata } = sent;
      expect(failureFromStatus(received(code, details, metadata ?? undefined), 'FR2')).toMatchObject({
        kind,
        message: 'FR2: it broke',
        hint: 'mend it',
        retryable,
      });
    }
  });

  it('that is not a Failure leaves without its message', () => {
    expect(statusFromFailure(new Error('/secret/path'))).toMatchObject({
      code: status.INTERNAL,
      details: 'internal error',
    });
  });

  it('of another program is understood by its code', () => {
    expect(failureFromStatus(received(status.UNAVAILABLE, 'gone'), 'FR2')).toMatchObject({
      kind: 'unreachable',
      retryable: true,
    });
    expect(failureFromStatus(received(status.UNIMPLEMENTED, 'what?'), 'FR2')).toMatchObject({ kind: 'failed' });
  });

  it('cannot carry control characters or endless text to a terminal', () => {
    const { message } = failureFromStatus(received(status.NOT_FOUND, `\u001b[2Jgone\n${'x'.repeat(10_000)}`), 'FR2');
    expect(message).toMatch(/^FR2: \\x1b\[2Jgone\\x0ax+…$/);
    expect(message.length).toBeLessThan(600);
  });

  it.each([[Buffer.from([0x1a, 0xff, 0xff])], [Buffer.from('garbage')], [Buffer.alloc(0)]])(
    'with details that are garbage is still understood by its code',
    (details) => {
      const metadata = new Metadata();
      metadata.set('grpc-status-details-bin', details);
      expect(failureFromStatus(received(status.NOT_FOUND, 'no', metadata), 'FR2')).toMatchObject({ kind: 'not-found' });
    },
  );
});
