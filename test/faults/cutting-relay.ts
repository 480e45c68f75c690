import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export type Direction = 'up' | 'down';

/** Where the link fails: after so many bytes of one connection in one direction, counted from 0 in the order of accepting. */
export interface Strike {
  readonly connection: number;
  readonly direction: Direction;
  readonly at: number;
  /** `cut`: everybody is told; `blackhole`: nobody is, and nothing moves any more. */
  readonly how: 'cut' | 'blackhole';
}

/** A stretch of network that fails at one exact byte, for all its connections, until it is healed. */
export interface CuttingRelay {
  readonly address: { readonly host: string; readonly port: number };
  /** Begins to count anew. `struck` is called in the moment of the failure. */
  arm(strike: Strike | null, struck: () => void): void;
  /** Ends of the TLS records that passed since it was armed, in bytes from the start of their connection. */
  records(connection: number, direction: Direction): number[];
  /** New connections work. What was blackholed goes on where it was, or is closed. */
  heal(what: 'resume' | 'close'): void;
  close(): Promise<void>;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export async function cuttingRelay(target: { readonly host: string; readonly port: number }): Promise<CuttingRelay> {
  const pairs = new Set<Pair>();
  let parsers: { readonly up: RecordEnds; readonly down: RecordEnds }[] = [];
  let strike: Strike | null = null;
  let struck = (): void => {};
  let failed: 'cut' | 'blackhole' | null = null;

  const fail = (how: 'cut' | 'blackhole'): void => {
    failed = how;
    strike = null;
    for (const { near, far } of pairs) {
      for (const socket of [near, far]) how === 'cut' ? socket.destroy() : socket.pause();
    }
    struck();
  };

  const server = createServer((near) => {
    if (failed === 'cut') {
      near.destroy();
      return;
    }
    const connection = parsers.push({ up: recordEnds(), down: recordEnds() }) - 1;
    const counts = parsers[connection];
    const far = connect(target);
    pairs.add({ near, far });
    const forward = (direction: Direction, from: Socket, to: Socket): void => {
      let passed = 0;
      let ending = false;
      from.on('data', (chunk) => {
        if (ending) return;
        const mine = strike?.connection === connection && strike.direction === direction ? strike : null;
        const room = mine === null ? chunk.length : Math.min(chunk.length, mine.at - passed);
        passed += room;
        counts?.[direction].pass(chunk.subarray(0, room));
        if (room > 0) to.write(chunk.subarray(0, room));
        if (mine === null || passed < mine.at) return;
        if (mine.how === 'blackhole') {
          fail('blackhole');
          if (room < chunk.length) from.unshift(chunk.subarray(room));
          return;
        }
        // What was let through shall arrive before the cut.
        ending = true;
        to.end(() => fail('cut'));
      });
      from.on('error', () => {});
      from.on('end', () => to.end());
      from.on('close', () => to.destroy());
    };
    forward('up', near, far);
    forward('down', far, near);
    if (failed === 'blackhole') for (const socket of [near, far]) socket.pause();
    else if (strike?.connection === connection && strike.at === 0 && strike.direction === 'up') fail(strike.how);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };

  const closeAll = (): void => {
    for (const { near, far } of pairs) for (const socket of [near, far]) socket.destroy();
    pairs.clear();
  };
  return {
    address: { host: '127.0.0.1', port },
    arm(next, then) {
      parsers = [];
      strike = next;
      struck = then;
    },
    records: (connection, direction) => parsers[connection]?.[direction].ends ?? [],
    heal(what) {
      failed = null;
      strike = null;
      if (what === 'close') closeAll();
      else for (const { near, far } of pairs) for (const socket of [near, far]) socket.resume();
    },
    async close() {
      server.close();
      closeAll();
      await once(server, 'close').catch(() => undefined);
    },
  };
}

interface RecordEnds {
  readonly ends: number[];
  pass(bytes: Uint8Array): void;
}

/** Follows the records of TLS: one byte of type, two of version, two of length, and so many bytes. */
function recordEnds(): RecordEnds {
  const ends: number[] = [];
  const header: number[] = [];
  let position = 0;
  let left = 0;
  return {
    ends,
    pass(bytes) {
      for (let index = 0; index < bytes.length; ) {
        if (left === 0) {
          header.push(bytes[index] ?? 0);
          index += 1;
          position += 1;
          if (header.length < 5) continue;
          left = (header[3] ?? 0) * 256 + (header[4] ?? 0);
          header.length = 0;
        } else {
          const taken = Math.min(left, bytes.length - index);
          index += taken;
          position += taken;
          left -= taken;
          if (left === 0) ends.push(position);
        }
      }
    },
  };
}
