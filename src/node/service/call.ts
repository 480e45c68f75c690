import type { NodeCertificate } from '../../mesh/identity/node-certificate.js';
import { Failure, type FailureKind } from '../../mesh/terms/failure.js';
import { type Status, statusFromFailure } from '../../mesh/wire/status.js';
import type { ThrottledLog } from './throttled-log.js';

/** What a handler may ask of the call that it answers; it aborts when the caller went away. */
export interface Incoming<C> {
  readonly caller: C;
  readonly signal: AbortSignal;
}

/** Who is at the other end of a connection. */
export interface Origin {
  /** Address and port; `this server` for the own client, whose socket has none. */
  readonly from: string;
  /** Proven when the handshake was over; the own client shows none. */
  readonly certificate: NodeCertificate | undefined;
  /** With whom it shares what it may have at a time: the keys of its identity, but none of a superseded one. */
  readonly crowd: string;
}

/** A call that is being answered. */
export interface Call extends Origin {
  /** `/package.Service/Method` */
  readonly path: string;
}

/** Finds out who is calling; throws a Failure for a caller that may not. */
export type Admission<C> = (call: Call) => C | Promise<C>;

/** What is the matter with this server rather than with the caller. */
const ours: readonly FailureKind[] = ['failed', 'no-space', 'damaged'];

/** Logs what went wrong with a call. @returns what its caller is told */
export function statusToTell(thrown: unknown, call: Call, log: ThrottledLog): Status {
  const { path: method, from, certificate } = call;
  if (thrown instanceof Failure) {
    const { code = '' } = (thrown.cause ?? {}) as NodeJS.ErrnoException;
    const { kind, message: reason } = thrown;
    const level = ours.includes(kind) ? 'warn' : 'info';
    const key = `${certificate?.identity} ${method} ${kind} ${code}`;
    log.again(key, level, 'call refused', { method, from, kind, reason });
  } else {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log.error('call failed', { method, from, reason: Failure.from(thrown).message, stack });
  }
  return statusFromFailure(thrown);
}
