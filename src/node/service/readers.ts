import { Failure } from '../../mesh/terms/failure.js';
import type { Incoming } from './call.js';
import type { Caller } from './callers.js';
import { openShares } from './shares.js';

/** Backups that are read for one node key at a time. */
const mostOfOneKey = 16;
/** For all peers together: of those that a vault lets be read at a time, some are left for what this node delivers itself. */
const mostOfAll = 96;

/** Waits until the caller has fewer reads under way than it may: each has a file open for as long as the caller takes. */
export type Readers = <T>(incoming: Incoming<Caller>, read: () => AsyncIterable<T>) => AsyncGenerator<T>;

/** @returns what throws a Failure `failed` when very many peers read */
export function openReaders(): Readers {
  const shares = openShares(mostOfOneKey);
  let reading = 0;
  return async function* inTurn({ caller, signal }, read) {
    const giveBack = await shares.wait(caller.key, caller.identity);
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
      giveBack();
    }
  };
}
