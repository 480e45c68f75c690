import type { Identity } from '../../mesh/identity/identity.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { type Channels, type ConnectOptions, connectTo } from '../../mesh/peers/connection.js';
import { type ByteRange, fetchBackup } from '../../mesh/peers/fetch-backup.js';
import { fetchLeaves } from '../../mesh/peers/fetch-leaves.js';
import { type ListPage, type ListQuestion, listPages } from '../../mesh/peers/list-backups.js';
import { connectToOwnNode, type OwnNode } from '../../mesh/peers/own-node.js';
import { describePeer, type Peer } from '../../mesh/peers/peer.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { whoAnswers } from '../session/who-answers.js';

/** A server that may hold backups, as a survey asks it: a peer, or the own node. Nothing that it says is verified. */
export interface Holder {
  /** Its hostname. */
  readonly name: string;
  /** The host of a peer's address, or `local` for the own node. */
  readonly place: string;
  /** As messages name it: `FR2 (10.8.0.2:7443)`. */
  readonly described: string;
  /** Who must have signed its receipts. */
  readonly identity: Identity;
  /**
   * What it says that it holds, page by page. The own node answers with whole entries: it is near, and those it has need
   * not be asked for again.
   */
  list(question: ListQuestion, signal?: AbortSignal): AsyncIterable<ListPage>;
  fetch(name: string, range: ByteRange, signal?: AbortSignal): Bytes;
  /** The hashes of a backup's leaves, from the one with the index `first` on, in order, 32 bytes each. */
  leaves(name: string, first: number, signal?: AbortSignal): Bytes;
  close(): void;
}

export function peerHolder(peer: Peer, self: ServerIdentity, clock: Clock, options?: ConnectOptions): Holder {
  const connection = connectTo(peer, self, clock, options);
  const { name, address, identity } = peer;
  const facts = { name, place: address.host, described: describePeer(peer), identity };
  const holder = holderOver(facts, async () => connection);
  return {
    ...holder,
    async *list(question, signal) {
      try {
        yield* holder.list(question, signal);
      } catch (thrown) {
        throw await whoAnswers(peer, { self, clock, signal }, Failure.from(thrown));
      }
    },
    close: () => connection.close(),
  };
}

/** The node of this server; it need not run until it is asked. */
export function ownHolder(
  server: { readonly name: string; readonly socket: string },
  identity: Identity,
  clock: Clock,
): Holder {
  let node: Promise<OwnNode> | undefined;
  const { name } = server;
  const facts = { name, place: 'local', described: `the node of this server (${name})`, identity };
  const holder = holderOver(facts, () => {
    node ??= connectToOwnNode(server.socket, clock);
    return node;
  });
  return {
    ...holder,
    // In brief, the whole entries would be asked for right afterwards: nobody else shows them sooner.
    list: ({ owner, set }, signal) => holder.list({ owner, set }, signal),
    close: () => void node?.then((open) => open.close()).catch(() => undefined),
  };
}

type Facts = Pick<Holder, 'name' | 'place' | 'described' | 'identity'>;

function holderOver(facts: Facts, channels: () => Promise<Channels>): Omit<Holder, 'close'> {
  return {
    ...facts,
    async *list(question, signal) {
      yield* listPages(await channels(), question, signal);
    },
    async *fetch(name, range, signal) {
      yield* fetchBackup(await channels(), name, range, signal);
    },
    async *leaves(name, first, signal) {
      yield* fetchLeaves(await channels(), name, { first }, signal);
    },
  };
}

/** A server that could not even be asked. */
export function deadHolder(
  where: Pick<Holder, 'name' | 'place' | 'described'>,
  why: Failure,
  identity: Identity,
): Holder {
  // biome-ignore lint/correctness/useYield: it has nothing to give
  async function* nothing(): AsyncGenerator<never> {
    throw why;
  }
  return {
    ...where,
    identity,
    list: nothing,
    fetch: nothing,
    leaves: nothing,
    close() {},
  };
}
