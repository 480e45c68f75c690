import http2 from 'node:http2';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { Failure } from '../../mesh/terms/failure.js';
import { flowControlWindow, http2Settings } from '../../mesh/wire/http2-settings.js';
import { longestMessage } from '../../mesh/wire/limits.js';
import { peerService } from '../../mesh/wire/methods.js';
import { boundWaiting } from '../../mesh/wire/waiting.js';

/** Answers what comes over the connections that it is given. */
export type CallServer = ReturnType<Server['createConnectionInjector']>;

/**
 * A server that takes what it can of the calls, and leaves the others to grpc-js, which says of these services that they serve.
 * @param healthy their names; '' stands for the whole node
 */
export function callServer(grpc: Server, take: TakeStream, healthy: readonly string[]): CallServer {
  new HealthImplementation(Object.fromEntries(healthy.map((name) => [name, 'SERVING'] as const))).addToServer(grpc);
  return withHttp2Server(take, () => grpc.createConnectionInjector(ServerCredentials.createInsecure()));
}

/** Answers a stream of a session, or returns false: then grpc-js does. */
export type TakeStream = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => boolean;

/**
 * Runs `create`, which makes one HTTP/2 server inside grpc-js, with large windows for what clients send, and with a say in who
 * answers.
 *
 * grpc-js 1.14 offers the windows for clients only; its servers keep 64 KiB, which is 1 MiB/s over a link of 50 ms. And it
 * copies each byte of a message three times. The one call that makes the server is wrapped for the moment, its one listener
 * for streams is stepped in front of, and it is an error if there was no such call or listener.
 */
function withHttp2Server(take: TakeStream, create: () => CallServer): CallServer {
  const original = http2.createServer;
  const made: http2.Http2Server[] = [];
  const wrapped = (options: http2.ServerOptions = {}, ...rest: []): http2.Http2Server => {
    const server = original({ ...options, settings: { ...options.settings, ...http2Settings } }, ...rest);
    made.push(server);
    return server.on('session', (session) => session.setLocalWindowSize(flowControlWindow));
  };
  http2.createServer = wrapped as typeof http2.createServer;
  try {
    const result = create();
    const [server] = made;
    if (server === undefined || made.length > 1)
      throw new Failure('failed', `grpc-js made ${made.length} HTTP/2 servers where one was expected`);
    stepInFront(server, take);
    return result;
  } finally {
    http2.createServer = original;
  }
}

function stepInFront(server: http2.Http2Server, take: TakeStream): void {
  const [answer, ...more] = server.listeners('stream') as ((...event: unknown[]) => void)[];
  if (answer === undefined || more.length > 0)
    throw new Failure('failed', 'grpc-js does not listen for streams as expected');
  server.removeAllListeners('stream');
  server.on('stream', (stream, headers, ...rest) => {
    // What breaks a stream closes it. An error that nobody listens to would end the process.
    stream.on('error', () => {});
    // It was broken off in the moment in which it came: nobody waits for an answer, and grpc-js would throw.
    if (stream.closed) {
      stream.destroy();
      return;
    }
    // Only a push has more to send than one message and its prefix.
    const isPush = headers[':path'] === peerService.pushBackup.path;
    boundWaiting(stream, isPush ? flowControlWindow : longestMessage + 2 ** 10);
    if (!take(stream, headers)) answer(stream, headers, ...rest);
  });
}
