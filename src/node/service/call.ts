import type { PeerCertificate } from 'node:tls';
import { Failure, type FailureKind } from '../../mesh/terms/failure.js';
import { type Status, statusFromFailure } from '../../mesh/wire/status.js';
import type { PatientLog } from './patient-log.js';

/** What a handler may ask of the call that it answers; it aborts when the caller went away. */
export interface Incoming<C> {
  readonly caller: C;
  readonly signal: AbortSignal;
}

/** A call that is being answered, whoever reads it from the wire. */
export interface Call {
  getAuthContext(): { readonly sslPeerCertificate?: PeerCertificate | undefined };
  getPeer(): string;
  getPath(): string;
}

/** The proven identity of a caller, as a key; the own client has none. */
export function callerKey(call: Pick<Call, 'getAuthContext'>): string {
  return String(call.getAuthContext().sslPeerCertificate?.issuer?.CN);
}

/** Finds out who is calling; throws a Failure for a caller that may not. */
export type Admission<C> = (call: Call) => C | Promise<C>;

/** What is the matter with this server rather than with the caller. */
const ours: readonly FailureKind[] = ['failed', 'no-space', 'damaged'];

/** Logs what went wrong with a call, and gives the status that its caller is told. */
export function statusTeller(log: PatientLog): (thrown: unknown, call: Call) => Status {
  return (thrown, call) => {
    const method = call.getPath();
    if (thrown instanceof Failure) {
      const from = call.getPeer();
      const { code = '' } = (thrown.cause ?? {}) as NodeJS.ErrnoException;
      const { kind, message: reason } = thrown;
      const level = ours.includes(kind) ? 'warn' : 'info';
      log.again(`${callerKey(call)} ${method} ${kind} ${code}`, level, 'call refused', {
        method,
        from,
        kind,
        reason,
      });
    } else {
      const failure = Failure.from(thrown);
      log.error('call failed', { method, from: call.getPeer(), reason: failure.message, stack: stackOf(thrown) });
    }
    return statusFromFailure(thrown);
  };
}

function stackOf(thrown: unknown): string | undefined {
  return thrown instanceof Error ? thrown.stack : undefined;
}
