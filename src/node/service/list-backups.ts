import type { Config } from '../../mesh/config/config.js';
import type {
  ListBackupsRequest,
  ListBackupsResponse,
  MinimumDays,
} from '../../mesh/generated/anemone/peer/v1/peer.js';
import { parseSetName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import { mostManifestsAsked } from '../../mesh/wire/limits.js';
import { isUnreadable } from '../vault/disk.js';
import type { HeldEntry } from '../vault/held-entry.js';
import type { Vault } from '../vault/vault.js';
import type { Caller } from './callers.js';

/** Entries of one message: about 110 KB, well below the limit of a gRPC message. */
const pageSize = 100;
/** In brief: about 40 KB. */
const briefPageSize = 1000;

/** Those of one page. */
type Entries = Omit<ListBackupsResponse, 'minimumDays'>;

/**
 * Yields what is held, in pages. `mayRead` decides for each owner; who asks for a forbidden one by name is told so. What turns out
 * to be damaged is not shown: each manifest is proven at least once since the start, and for a whole entry it is read again.
 * @param retention what may be missing of a list: each page tells it
 */
export async function* listBackups(
  vault: Vault,
  question: ListBackupsRequest,
  mayRead: (owner: Hostname) => boolean,
  retention: Config['retention'],
): AsyncGenerator<ListBackupsResponse> {
  const minimumDays = minimumDaysOf(retention);
  const entries = entriesFor(vault, question, mayRead);
  const size = question.brief ? briefPageSize : pageSize;
  for (let start = 0; start < entries.length; start += size) {
    const page = entries.slice(start, start + size);
    const answer = question.brief ? await inBrief(vault, page) : await whole(vault, page);
    // One of which nothing is shown would look like the end.
    if (answer.backups.length > 0 || answer.receivedAtMs.length > 0) yield { ...answer, minimumDays };
  }
}

/** For how many days nothing is removed here. */
export function minimumDaysOf({ local, peers }: Config['retention']): MinimumDays {
  return { local: local.minimumDays, peers: peers.minimumDays };
}

async function whole(vault: Vault, page: readonly HeldEntry[]): Promise<Entries> {
  const backups = await shown(page, ({ name }) => vault.held(name));
  return { backups, manifestDigests: new Uint8Array(), receivedAtMs: [] };
}

async function inBrief(vault: Vault, page: readonly HeldEntry[]): Promise<Entries> {
  const entries = await shown(page, async (entry) => {
    await vault.proven(entry.name);
    return entry;
  });
  return {
    backups: [],
    manifestDigests: Buffer.concat(entries.map(({ digest }) => digest)),
    receivedAtMs: entries.map(({ receivedAt }) => receivedAt ?? 0),
  };
}

function entriesFor(vault: Vault, question: ListBackupsRequest, mayRead: (owner: Hostname) => boolean): HeldEntry[] {
  const owner = question.owner === '' ? null : parseHostname(question.owner);
  if (owner !== null && !mayRead(owner)) throw new Failure('forbidden', `you may not read the backups of ${owner}`);
  const entries = vault
    .list({ ...(owner === null ? {} : { owner }), ...(question.set === '' ? {} : { set: parseSetName(question.set) }) })
    .filter((entry) => mayRead(entry.owner));
  const { manifestDigests } = question;
  if (manifestDigests.length === 0) return entries;
  if (manifestDigests.length > mostManifestsAsked) {
    throw new Failure(
      'invalid',
      `${manifestDigests.length} manifests were asked for; ${mostManifestsAsked} are allowed`,
    );
  }
  const wanted = new Set(manifestDigests.map((digest) => Buffer.from(digest).toString('hex')));
  return entries.filter(({ digest }) => wanted.has(digest.toString('hex')));
}

/**
 * Without the backups that were removed in the meantime, whose manifest its owner did not sign, or whose manifest the disk
 * cannot read: of those the vault tells the person of this node, and its next examination their owner.
 */
async function shown<T>(page: readonly HeldEntry[], show: (entry: HeldEntry) => Promise<T>): Promise<T[]> {
  const told = await Promise.all(
    page.map((entry) =>
      show(entry).catch((thrown) => {
        const { kind } = Failure.from(thrown);
        if (kind === 'not-found' || kind === 'damaged' || kind === 'untrusted' || isUnreadable(thrown)) return null;
        throw thrown;
      }),
    ),
  );
  return told.filter((each) => each !== null);
}

/** A caller reads its own backups, and those of servers that the configuration lets it read. */
export function readableBy(caller: Caller): (owner: Hostname) => boolean {
  return (owner) => owner === caller.name || caller.reads.includes(owner);
}
