import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { printable } from '../terms/clean-text.js';
import { Failure, type FailureKind } from '../terms/failure.js';

/** The one translation between this program's Failure and a gRPC status. */
const codes: Readonly<Record<FailureKind, status>> = {
  usage: status.INVALID_ARGUMENT,
  config: status.FAILED_PRECONDITION,
  'not-found': status.NOT_FOUND,
  locked: status.ABORTED,
  'wrong-key': status.FAILED_PRECONDITION,
  damaged: status.DATA_LOSS,
  untrusted: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  conflict: status.ALREADY_EXISTS,
  'no-space': status.RESOURCE_EXHAUSTED,
  invalid: status.INVALID_ARGUMENT,
  unreachable: status.UNAVAILABLE,
  timeout: status.DEADLINE_EXCEEDED,
  interrupted: status.CANCELLED,
  failed: status.INTERNAL,
};

/** For a status that carries no reason of ours: one made by grpc-js, or by another program. */
const kinds: Readonly<Partial<Record<status, FailureKind>>> = {
  [status.INVALID_ARGUMENT]: 'invalid',
  [status.OUT_OF_RANGE]: 'invalid',
  [status.NOT_FOUND]: 'not-found',
  [status.ABORTED]: 'locked',
  [status.DATA_LOSS]: 'damaged',
  [status.UNAUTHENTICATED]: 'untrusted',
  [status.PERMISSION_DENIED]: 'forbidden',
  [status.ALREADY_EXISTS]: 'conflict',
  [status.RESOURCE_EXHAUSTED]: 'no-space',
  [status.UNAVAILABLE]: 'unreachable',
  [status.DEADLINE_EXCEEDED]: 'timeout',
  [status.CANCELLED]: 'interrupted',
};

/** How grpc-js wraps the words of the system when a connection fails. */
const noConnection = /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note: .*$/s;

const domain = 'anemone-peer';
const detailsKey = 'grpc-status-details-bin';
const errorInfoType = 'type.googleapis.com/google.rpc.ErrorInfo';

/**
 * A failure as it leaves this process: status, message, and a google.rpc.ErrorInfo whose reason is the kind in capitals
 * (`NO_SPACE`). Anything that is not a Failure leaves as a plain INTERNAL, so that strangers get no internals.
 */
export function statusFromFailure(thrown: unknown): StatusObject {
  if (!(thrown instanceof Failure)) {
    return { code: status.INTERNAL, details: 'internal error', metadata: new Metadata() };
  }
  const code = codes[thrown.kind];
  const facts: [string, string][] = [['retryable', String(thrown.retryable)]];
  if (thrown.hint !== undefined) facts.push(['hint', thrown.hint]);
  const info = new BinaryWriter();
  info.uint32(10).string(thrown.kind.toUpperCase().replaceAll('-', '_'));
  info.uint32(18).string(domain);
  for (const [key, value] of facts) info.uint32(26).fork().uint32(10).string(key).uint32(18).string(value).join();
  const rich = new BinaryWriter();
  rich.uint32(8).int32(code).uint32(18).string(thrown.message);
  rich.uint32(26).fork().uint32(10).string(errorInfoType).uint32(18).bytes(info.finish()).join();
  const metadata = new Metadata();
  metadata.set(detailsKey, Buffer.from(rich.finish()));
  return { code, details: thrown.message, metadata };
}

/**
 * An error of a gRPC call as a Failure that names whom we asked.
 * @param whom the peer, as a person calls it: `FR2 (10.8.0.2:7443)`
 */
export function failureFromStatus(thrown: unknown, whom: string): Failure {
  if (thrown instanceof Failure) return thrown;
  if (!isServiceError(thrown)) return Failure.from(thrown, whom);
  const info = readErrorInfo(thrown.metadata);
  const kind = kindOf(info?.reason) ?? kinds[thrown.code] ?? 'failed';
  const hint = info?.facts.get('hint');
  const details = thrown.details.replace(noConnection, 'no connection ($1)');
  return new Failure(kind, `${whom}: ${printable(details, 500)}`, {
    cause: thrown,
    ...(info === null ? {} : { retryable: info.facts.get('retryable') === 'true' }),
    ...(hint === undefined ? {} : { hint: printable(hint, 500) }),
  });
}

/** A status as the headers at the end of an answer (gRPC over HTTP/2, "Trailers"). */
export function trailersOf({ code, details, metadata }: StatusObject): OutgoingHttpHeaders {
  return { ...metadata.toHttp2Headers(), 'grpc-status': code, 'grpc-message': encodeURI(details) };
}

/** @returns null when they say that the call was answered */
export function failureFromTrailers(trailers: IncomingHttpHeaders, whom: string): Failure | null {
  const code = Number(trailers['grpc-status']);
  if (code === status.OK) return null;
  const details = decoded(String(trailers['grpc-message'] ?? ''));
  const metadata = Metadata.fromHttp2Headers(trailers);
  return failureFromStatus(Object.assign(new Error(details), { code, details, metadata }), whom);
}

function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

/** Whether a call failed because the other program is older than the call. */
export function isUnknownCall({ cause }: Failure): boolean {
  return isServiceError(cause) && cause.code === status.UNIMPLEMENTED;
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'number' && 'details' in thrown;
}

function kindOf(reason: string | undefined): FailureKind | undefined {
  const kind = reason?.toLowerCase().replaceAll('_', '-');
  return kind !== undefined && Object.hasOwn(codes, kind) ? (kind as FailureKind) : undefined;
}

interface ErrorInfo {
  reason: string;
  readonly facts: Map<string, string>;
}

/** The first google.rpc.ErrorInfo of ours in the details, or null; a malformed one is as good as none. */
function readErrorInfo(metadata: Metadata): ErrorInfo | null {
  const [details] = metadata.get(detailsKey);
  if (!Buffer.isBuffer(details)) return null;
  try {
    let found: ErrorInfo | null = null;
    eachField(details, (field, any) => {
      if (field !== 3) return;
      eachField(any, (inner, value) => {
        if (inner === 2) found ??= decodeErrorInfo(value);
      });
    });
    return found;
  } catch {
    return null;
  }
}

function decodeErrorInfo(bytes: Uint8Array): ErrorInfo {
  const text = (value: Uint8Array): string => Buffer.from(value).toString();
  const info: ErrorInfo = { reason: '', facts: new Map() };
  eachField(bytes, (field, value) => {
    if (field === 1) info.reason = text(value);
    if (field !== 3) return;
    const entry = ['', ''];
    eachField(value, (part, content) => {
      entry[part - 1] = text(content);
    });
    info.facts.set(entry[0] ?? '', entry[1] ?? '');
  });
  return info;
}

/** Walks the length-delimited fields of a protobuf message and skips all others. */
function eachField(bytes: Uint8Array, visit: (field: number, value: Uint8Array) => void): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === 2) visit(field, reader.bytes());
    else reader.skip(type, field);
  }
}
