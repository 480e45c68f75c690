import { Failure } from '../../mesh/terms/failure.js';
import { turnsOfEach } from '../../mesh/terms/turns.js';
import type { Incoming } from './call.js';
import type { Caller } from './callers.js';

/** Backups that are read for one node key at a time: a stolen one keeps nobody from being brought back. */
const mostOfOneKey = 16;
/** For all node keys of an identity together: it may issue itself any number of them. */
const mostOfOneIdentity = 2 * mostOfOneKey;
/** For all peers together: of those that a vault lets be read at a time, some are left for what this node delivers itself. */
const mostOfAll = 96;

/** Waits until the caller has fewer reads under way than it may: each has a file open for as long as the caller takes. */
export type Readers = <T>(incoming: Incoming<Caller>, read: () => AsyncIterable<T>) => AsyncGenerator<T>;

/** @returns what throws a Failure `failed` when very many peers read */
export function openReaders(): Readers {
  const turnOfKey = turnsOfEach(mostOfOneKey);
  const turnOfIdentity = turnsOfEach(mostOfOneIdentity);
  let reading = 0;
  return async function* inTurn({ caller, signal }, read) {
    let finish = (): void => {};
    const over = new Promise<void>((resolve) => {
      finish = resolve;
    });
    await new Promise<void>((begin) => {
      // What waits for its key takes no place of its identity yet.
      void turnOfKey(caller.key, () =>
        turnOfIdentity(caller.identity, () => {
          begin();
          return over;
        }),
      );
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
