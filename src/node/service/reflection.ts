import { readFile } from 'node:fs/promises';
import { createFileRegistry, type DescFile, type FileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Metadata, type Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  ServerReflectionDefinition,
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '../../mesh/generated/grpc/reflection/v1/reflection.js';
import { Failure } from '../../mesh/terms/failure.js';
import { statusFromFailure } from '../../mesh/wire/status.js';
import type { Admission } from './call.js';

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/** The descriptors of all services, as the build leaves them beside the generated code. */
export async function readDescriptors(): Promise<FileRegistry> {
  const image = await readFile(new URL('../../mesh/generated/descriptors.binpb', import.meta.url));
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
}

const { fullName, methods } = ServerReflectionDefinition;

/** The one call of the service, as grpc-js wants to have it described. */
const service = {
  serverReflectionInfo: {
    path: `/${fullName}/${methods.serverReflectionInfo.name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: ServerReflectionRequest) =>
      Buffer.from(ServerReflectionRequest.encode(message).finish()),
    requestDeserialize: (bytes: Buffer) => ServerReflectionRequest.decode(bytes),
    responseSerialize: (message: ServerReflectionResponse) =>
      Buffer.from(ServerReflectionResponse.encode(message).finish()),
    responseDeserialize: (bytes: Buffer) => ServerReflectionResponse.decode(bytes),
  },
};

/** Answers gRPC tools that ask which services there are and how their messages look. */
export function addReflection(
  server: Server,
  registry: FileRegistry,
  services: readonly string[],
  admit: Admission<unknown>,
): void {
  const serverReflectionInfo = (call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>): void => {
    const refuse = (thrown: unknown): void => {
      const { code, message } = statusFromFailure(Failure.from(thrown));
      call.emit('error', { code, details: message, metadata: new Metadata() });
    };
    // Not `for await`: at the end of the questions it would destroy the stream with the answers still in it.
    const answer = (): void => {
      call.on('data', (request: ServerReflectionRequest) => {
        const messageResponse = answerTo(request, registry, services);
        call.write({ validHost: '', originalRequest: request, messageResponse });
      });
      call.on('end', () => call.end());
    };
    Promise.resolve(call).then(admit).then(answer).catch(refuse);
  };
  server.addService(service, { serverReflectionInfo });
}

function answerTo(
  { messageRequest }: ServerReflectionRequest,
  registry: FileRegistry,
  services: readonly string[],
): Answer {
  if (messageRequest?.$case === 'listServices') {
    return { $case: 'listServicesResponse', value: { service: services.map((name) => ({ name })) } };
  }
  const wanted = messageRequest?.value ?? '';
  const file =
    messageRequest?.$case === 'fileByFilename'
      ? registry.getFile(wanted.replace(/\.proto$/, ''))
      : fileOf(registry, wanted);
  if (file === undefined) {
    return { $case: 'errorResponse', value: { errorCode: status.NOT_FOUND, errorMessage: `${wanted} is not known` } };
  }
  const fileDescriptorProto = withDependencies(file).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

/** The file of a message, enum or service, or of a method (`package.Service.Method`). */
function fileOf(registry: FileRegistry, symbol: string): DescFile | undefined {
  const found = registry.get(symbol) ?? registry.getService(symbol.replace(/\.[^.]*$/, ''));
  return found?.kind === 'extension' ? undefined : found?.file;
}

/** A client needs the files that a file imports, and theirs, to make sense of it. */
function withDependencies(file: DescFile): DescFile[] {
  const files = new Set<DescFile>();
  const add = (next: DescFile): void => {
    if (files.has(next)) return;
    files.add(next);
    next.dependencies.forEach(add);
  };
  add(file);
  return [...files];
}
