import { readFile } from 'node:fs/promises';
import { createFileRegistry, type DescFile, type FileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '../../mesh/generated/grpc/reflection/v1/reflection.js';
import { statusCode } from '../../mesh/wire/status.js';

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/** The descriptors of all services, as the build leaves them beside the generated code. */
export async function readDescriptors(): Promise<FileRegistry> {
  const image = await readFile(new URL('../../mesh/generated/descriptors.binpb', import.meta.url));
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
}

/** Answers gRPC tools that ask which services there are and how their messages look. */
export async function* reflect(
  questions: AsyncIterable<readonly ServerReflectionRequest[]>,
  registry: FileRegistry,
  services: readonly string[],
): AsyncGenerator<ServerReflectionResponse> {
  for await (const requests of questions) {
    for (const request of requests) {
      yield { validHost: '', originalRequest: request, messageResponse: answerTo(request, registry, services) };
    }
  }
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
    return {
      $case: 'errorResponse',
      value: { errorCode: statusCode.notFound, errorMessage: `${wanted} is not known` },
    };
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
