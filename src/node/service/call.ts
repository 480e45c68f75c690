import type { PeerCertificate } from 'node:tls';
import { Failure, type FailureKind } from '../../mesh/terms/failure.js';
import { type Status, statusFromFailure } from '../../mesh/wire/status.js';
import type { ThrottledLog } from './throttled-log.js';

/** What a handler may ask of the call that it answers; it aborts when the caller went away. */
export interface Incoming<C> {
  readonly caller: C;
  readonly signal: AbortSignal;
}

/** A call that is being answered. */
export interface Call {
  /** `/package.Service/Method` */
  readonly path: string;
  /** Address and port of the caller; `this server` for the own client, whose socket has none. */
  readonly from: string;
  /** What the handshake has proven; the own client shows none. */
  readonly certificate: PeerCertificate | undefined;
}

/** The proven identity of a caller; the own client has none. */
export function identityOf({ certificate }: Pick<Call, 'certificate'>): string {
  return String(certificate?.issuer?.CN);
}

/** Finds out who is calling; throws a Failure for a caller that may not. */
export type Admission<C> = (call: Call) => C | Promise<C>;

/** What is the matter with this server rather than with the caller. */
const ours: readonly FailureKind[] = ['failed', 'no-space', 'damaged'];

/** Logs what went wrong with a call. @returns what its caller is told */
export function statusToTell(thrown: unknown, call: Call, log: ThrottledLog): Status {
  const { path: method, from } = call;
  if (thrown instanceof Failure) {
    const { code = '' } = (thrown.cause ?? {}) as NodeJS.ErrnoException;
    const { kind, message: reason } = thrown;
    const level = ours.includes(kind) ? 'warn' : 'info';
    const key = `${identityOf(call)} ${method} ${kind} ${code}`;
    log.again(key, level, 'call refused', { method, from, kind, reason });
  } else {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log.error('call failed', { method, from, reason: Failure.from(thrown).message, stack });
  }
  return statusFromFailure(thrown);
}
