import { Client, credentials, Metadata, type MethodDefinition, type StatusObject } from '@grpc/grpc-js';
import type { Identity } from '../../src/mesh/identity/identity.js';
import { certificatePem } from '../../src/mesh/identity/node-certificate.js';
import { nodeKeyPem, type ServerIdentity } from '../../src/mesh/identity/server-identity.js';
import type { Address } from '../../src/mesh/terms/address.js';
import type { MessageType, ServiceDefinition } from '../../src/mesh/wire/methods.js';
import type { Status } from '../../src/mesh/wire/status.js';
import { anchorPem } from './anchor.js';

// grpc-js as a witness: whatever it understands of us, and we of it, is gRPC.

/** A service as grpc-js wants to have it described. */
export function grpcService<S extends ServiceDefinition>({ fullName, methods }: S): { [K in keyof S['methods']]: Any } {
  const entries = Object.entries(methods).map(([key, method]) => {
    const { name, requestStream, responseStream, requestType, responseType } = method;
    const [request, response] = [codec(requestType), codec(responseType)];
    const described: Any = {
      path: `/${fullName}/${name}`,
      requestStream,
      responseStream,
      requestSerialize: request.serialize,
      requestDeserialize: request.deserialize,
      responseSerialize: response.serialize,
      responseDeserialize: response.deserialize,
    };
    return [key, described];
  });
  return Object.fromEntries(entries);
}

// biome-ignore lint/suspicious/noExplicitAny: which messages a call has is checked where they are made.
type Any = MethodDefinition<any, any>;

function codec<M>(type: MessageType<M>) {
  return {
    serialize: (message: M) => Buffer.from(type.encode(message).finish()),
    deserialize: (bytes: Buffer) => type.decode(bytes),
  };
}

/** A status as a handler of grpc-js gives it. */
export function grpcStatus({ code, message, details }: Status): StatusObject {
  const metadata = new Metadata();
  if (details.length > 0) metadata.set('grpc-status-details-bin', Buffer.from(details));
  return { code, details: message, metadata };
}

/** A client that calls a node with the certificate of `caller`, and has OpenSSL prove who answers, as version 0.1.0 did. */
export function grpcClient(address: Address, caller: ServerIdentity, expected: Identity): Client {
  const certificate = certificatePem(caller.certificate.der);
  return new Client(
    `ipv4:${address.host}:${address.port}`,
    credentials.createSsl(Buffer.from(anchorPem(expected)), Buffer.from(nodeKeyPem(caller)), Buffer.from(certificate), {
      checkServerIdentity: () => undefined,
    }),
    { 'grpc.ssl_target_name_override': 'anemone-peer' },
  );
}
