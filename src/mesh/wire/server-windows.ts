import http2 from 'node:http2';
import { Failure } from '../terms/failure.js';

/** HTTP/2 flow-control window of a stream and of a connection, in bytes: what a link of 1 Gbit/s and 50 ms needs. */
export const flowControlWindow = 8 * 2 ** 20;

/**
 * Runs `create`, which makes one HTTP/2 server inside grpc-js, with large windows for what clients send.
 *
 * grpc-js 1.14 offers this setting for clients only; its servers keep 64 KiB, which is 1 MiB/s over a link of 50 ms. The
 * one call that makes the server is wrapped for the moment, and it is an error if that call did not happen.
 */
export function withServerWindows<T>(create: () => T): T {
  const original = http2.createServer;
  let calls = 0;
  const wrapped = (options: http2.ServerOptions = {}, ...rest: []): http2.Http2Server => {
    calls += 1;
    const server = original(
      { ...options, settings: { ...options.settings, initialWindowSize: flowControlWindow } },
      ...rest,
    );
    return server.on('session', (session) => session.setLocalWindowSize(flowControlWindow));
  };
  http2.createServer = wrapped as typeof http2.createServer;
  try {
    const made = create();
    if (calls !== 1) throw new Failure('failed', `grpc-js made ${calls} HTTP/2 servers where one was expected`);
    return made;
  } finally {
    http2.createServer = original;
  }
}
