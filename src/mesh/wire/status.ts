import type { IncomingHttpHeaders } from 'node:http2';
import { ErrorInfo } from '../generated/google/rpc/error_details.js';
import { Status as RichStatus } from '../generated/google/rpc/status.js';
import { printable } from '../terms/clean-text.js';
import { Failure, type FailureKind } from '../terms/failure.js';

/** The codes of gRPC (its documentation, "Status codes and their use"). */
export const statusCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** How a call ended, as the wire has it. */
export interface Status {
  readonly code: number;
  readonly message: string;
  /** A google.rpc.Status; empty where there is none. */
  readonly details: Uint8Array;
}

export const okStatus: Status = { code: statusCode.ok, message: '', details: new Uint8Array() };

/** The one translation between this program's Failure and a gRPC status. */
const codes: Readonly<Record<FailureKind, number>> = {
  usage: statusCode.invalidArgument,
  config: statusCode.failedPrecondition,
  'not-found': statusCode.notFound,
  locked: statusCode.aborted,
  'wrong-key': statusCode.failedPrecondition,
  damaged: statusCode.dataLoss,
  untrusted: statusCode.unauthenticated,
  forbidden: statusCode.permissionDenied,
  conflict: statusCode.alreadyExists,
  'no-space': statusCode.resourceExhausted,
  invalid: statusCode.invalidArgument,
  unreachable: statusCode.unavailable,
  timeout: statusCode.deadlineExceeded,
  interrupted: statusCode.cancelled,
  failed: statusCode.internal,
};

/** For a status that carries no reason of ours: one made by another program. */
const kinds: Readonly<Partial<Record<number, FailureKind>>> = {
  [statusCode.invalidArgument]: 'invalid',
  [statusCode.outOfRange]: 'invalid',
  [statusCode.notFound]: 'not-found',
  [statusCode.aborted]: 'locked',
  [statusCode.dataLoss]: 'damaged',
  [statusCode.unauthenticated]: 'untrusted',
  [statusCode.permissionDenied]: 'forbidden',
  [statusCode.alreadyExists]: 'conflict',
  [statusCode.resourceExhausted]: 'no-space',
  [statusCode.unavailable]: 'unreachable',
  [statusCode.deadlineExceeded]: 'timeout',
  [statusCode.cancelled]: 'interrupted',
};

/**
 * What only a program of this server can say: no node has it for a peer. Taken from one, it would choose the exit code of a
 * command here, and send a person to look at the key or the configuration.
 */
const ofThisServer: ReadonlySet<FailureKind> = new Set(['usage', 'config', 'locked', 'wrong-key']);

const domain = 'anemone-peer';
const detailsKey = 'grpc-status-details-bin';
const errorInfoType = 'type.googleapis.com/google.rpc.ErrorInfo';

/**
 * A failure as it leaves this process: status, message, and a google.rpc.ErrorInfo whose reason is the kind in capitals
 * (`NO_SPACE`). Anything that is not a Failure leaves as a plain INTERNAL, so that strangers get no internals.
 */
export function statusFromFailure(thrown: unknown): Status {
  if (!(thrown instanceof Failure)) return { ...okStatus, code: statusCode.internal, message: 'internal error' };
  const code = codes[thrown.kind];
  const info: ErrorInfo = {
    reason: thrown.kind.toUpperCase().replaceAll('-', '_'),
    domain,
    metadata: { retryable: String(thrown.retryable), ...(thrown.hint === undefined ? {} : { hint: thrown.hint }) },
  };
  const details = [{ typeUrl: errorInfoType, value: ErrorInfo.encode(info).finish() }];
  const rich = RichStatus.encode({ code, message: thrown.message, details });
  return { code, message: thrown.message, details: rich.finish() };
}

/** A status as the headers at the end of an answer (gRPC over HTTP/2, "Trailers"). */
export function trailersOf({ code, message, details }: Status): Record<string, string> {
  const rich = details.length === 0 ? {} : { [detailsKey]: Buffer.from(details).toString('base64') };
  return { ...rich, 'grpc-status': String(code), 'grpc-message': encodeURI(message) };
}

/**
 * How the other side ended a call, as a Failure that names it; null when the call was answered.
 * @param whom the peer, as a person calls it: `FR2 (10.8.0.2:7443)`
 * @param isOwnNode whether its kinds and hints are those of this program; whoever else gives a hint is named, and may mean
 *   another server
 */
export function failureFromTrailers(trailers: IncomingHttpHeaders, whom: string, isOwnNode = false): Failure | null {
  const code = Number(trailers['grpc-status']);
  if (code === statusCode.ok) return null;
  if (code === statusCode.unimplemented) return tooOld(whom, isOwnNode);
  const message = printable(decoded(String(trailers['grpc-message'] ?? '')), 500);
  // Base64 has no comma: what comes after one is a second value.
  const [details = ''] = String(trailers[detailsKey] ?? '').split(',');
  const info = readErrorInfo(Buffer.from(details, 'base64'));
  const told = kindOf(info?.reason) ?? kinds[code] ?? 'failed';
  const kind = ofThisServer.has(told) && !isOwnNode ? 'failed' : told;
  // Only our own signal interrupts us: a peer that was interrupted went away, and may be back.
  const isGone = kind === 'interrupted';
  const hint = info?.metadata['hint'];
  return new Failure(isGone ? 'unreachable' : kind, `${whom}: ${message}`, {
    ...(info === null || isGone ? {} : { retryable: info.metadata['retryable'] === 'true' }),
    ...(hint === undefined ? {} : { hint: `${isOwnNode ? '' : `${whom} says: `}${printable(hint, 500)}` }),
  });
}

/** What this program asks, every node of its version answers. */
function tooOld(whom: string, isOwnNode: boolean): Failure {
  return new Failure('failed', `${whom} does not know this call: it runs an older version`, {
    hint: isOwnNode
      ? 'Restart it with this version: `systemctl restart anemone-node`, or `docker compose up -d`.'
      : 'Update anemone-peer there, and restart its node.',
  });
}

function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

function kindOf(reason: string | undefined): FailureKind | undefined {
  const kind = reason?.toLowerCase().replaceAll('_', '-');
  return kind !== undefined && Object.hasOwn(codes, kind) ? (kind as FailureKind) : undefined;
}

/** The google.rpc.ErrorInfo in the details, or null; a malformed one is as good as none. */
function readErrorInfo(details: Uint8Array): ErrorInfo | null {
  try {
    const info = RichStatus.decode(details).details.find(({ typeUrl }) => typeUrl === errorInfoType);
    return info === undefined ? null : ErrorInfo.decode(info.value);
  } catch {
    return null;
  }
}
