import type { Duplex } from 'node:stream';

/** An HTTP/2 client that sends the very frames that it is told to, whatever the other side asks it for. */
export interface RawHttp2 {
  /** Frames that came, as `type:stream`; of WINDOW_UPDATE, that is `8:1`. */
  readonly came: ReadonlyMap<string, number>;
  /** Begins a gRPC call. */
  call(stream: number, path: string): void;
  /** One DATA frame for each piece. */
  data(stream: number, ...pieces: readonly Uint8Array[]): void;
  /** Breaks a call off; with 8 it is cancelled. */
  reset(stream: number, code: number): void;
  /** Asks for an answer, which comes after all that was sent before has been read. */
  ping(): void;
  /** Resolves once a frame of this type has come for this stream. */
  until(type: number, stream: number): Promise<void>;
}

export const frameTypes = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
} as const;

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const initialWindowSize = 4;
const endHeaders = 4;
const ack = 1;

/** @param window bytes that the other side may send in each stream */
export function rawHttp2(socket: Duplex, window: number): RawHttp2 {
  const came = new Map<string, number>();
  const waiting = new Map<string, () => void>();
  let rest = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    rest = Buffer.concat([rest, data]);
    for (let size = sizeOf(rest); size <= rest.length; size = sizeOf(rest)) {
      const [type = 0, flags = 0] = rest.subarray(3, 5);
      const key = `${type}:${rest.readUInt32BE(5)}`;
      came.set(key, (came.get(key) ?? 0) + 1);
      waiting.get(key)?.();
      if (type === frameTypes.settings && flags !== ack) socket.write(frame(frameTypes.settings, ack, 0, ''));
      rest = rest.subarray(size);
    }
  });
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(initialWindowSize, 0);
  settings.writeUInt32BE(window, 2);
  socket.write(Buffer.concat([Buffer.from(preface), frame(frameTypes.settings, 0, 0, settings)]));
  return {
    came,
    call: (stream, path) => void socket.write(frame(frameTypes.headers, endHeaders, stream, headOf(path))),
    data: (stream, ...pieces) =>
      void socket.write(Buffer.concat(pieces.map((piece) => frame(frameTypes.data, 0, stream, piece)))),
    reset: (stream, code) => void socket.write(frame(frameTypes.rstStream, 0, stream, Buffer.of(0, 0, 0, code))),
    ping: () => void socket.write(frame(frameTypes.ping, 0, 0, Buffer.alloc(8))),
    until: (type, stream) =>
      new Promise((resolve) => {
        waiting.set(`${type}:${stream}`, resolve);
        if (came.has(`${type}:${stream}`)) resolve();
      }),
  };
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array | string): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head.set([type, flags], 3);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Bytes of the first frame; more than there are while its head is not there. */
function sizeOf(bytes: Buffer): number {
  return bytes.length < 9 ? 9 : 9 + bytes.readUIntBE(0, 3);
}

/** Each header as a literal that is not indexed (RFC 7541, 6.2.2). */
function headOf(path: string): Buffer {
  const headers = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':authority', 'anemone-peer'],
    [':path', path],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ];
  const literal = (text = ''): Buffer => Buffer.from([text.length, ...Buffer.from(text)]);
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), literal(name), literal(value)]));
}
