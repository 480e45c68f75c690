import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { type Turn, turnsOf } from '../vault/turns.js';
import type { Incoming } from './call.js';
import type { Caller } from './callers.js';

/** Backups that are read for one peer at a time. */
const mostOfOnePeer = 16;
/** For all peers together: of those that a vault lets be read at a time, some are left for what this node delivers itself. */
const mostOfAll = 96;

/** Reads for a peer once fewer of its calls are at it than may be: each has a file open for as long as the peer takes. */
export type Readers = <T>(incoming: Incoming<Caller>, read: () => AsyncIterable<T>) => AsyncGenerator<T>;

/** @returns what throws a Failure `failed` when very many peers read */
export function openReaders(): Readers {
  const turns = new Map<Hostname, Turn>();
  let reading = 0;
  return async function* inTurn({ caller, signal }, read) {
    const turn = turns.get(caller.name) ?? turnsOf(mostOfOnePeer);
    turns.set(caller.name, turn);
    let finish = (): void => {};
    const over = new Promise<void>((resolve) => {
      finish = resolve;
    });
    await new Promise<void>((begin) => {
      void turn(() => {
        begin();
        return over;
      });
    });
    try {
      signal.throwIfAborted();
      if (reading === mostOfAll) {
        throw new Failure('failed', `${mostOfAll} backups are being read for peers already`, { retryable: true });
      }
      reading += 1;
      try {
        yield* read();
      } finally {
        reading -= 1;
      }
    } finally {
      finish();
    }
  };
}
