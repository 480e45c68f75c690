import type { HeldBackup, SignedManifest } from '../generated/anemone/backup/v1/backup.js';
import type { ListBackupsResponse, MinimumDays } from '../generated/anemone/peer/v1/peer.js';
import { Failure } from '../terms/failure.js';
import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Channels } from './connection.js';

/** Which backups to list; an empty string means all. */
export interface ListFilter {
  readonly owner: string;
  readonly set: string;
}

/** What is asked of a server. */
export interface ListQuestion extends ListFilter {
  /** Whether entries in brief are enough; a server may answer with whole ones all the same. */
  readonly brief?: boolean;
  /** Only the backups with these digests of manifests, in hexadecimal; at most `mostManifestsAsked`. */
  readonly manifestDigests?: readonly string[];
}

/** A part of an answer. An entry is whole or in brief, as the server likes. */
export interface ListPage {
  readonly backups: readonly HeldBackup[];
  readonly brief: readonly BriefEntry[];
  /** For how many days its retention removes nothing; version 0.1.0 does not tell it. */
  readonly minimumDays?: MinimumDays | undefined;
}

export interface BriefEntry {
  /** SHA-256 of the bytes of the manifest, in hexadecimal. */
  readonly manifestDigest: string;
  /** By the peer's clock, in milliseconds since 1970; null where it says of itself that it is the owner. */
  readonly receivedAt: number | null;
}

/** Bytes of a SHA-256. */
const digestLength = 32;

/** The longest list that is taken of a peer: 50 servers with 2,000 backups each are as many. */
const mostEntries = 100_000;
/** Bytes of all its manifests and receipts together. */
const mostBytes = 128 * 1024 * 1024;

/**
 * What a peer, or the own node, says that it holds, page by page. Nothing of it is verified yet.
 * @throws Failure `invalid`, naming it, for a list without an end, or with digests that are none
 */
export async function* listPages(
  { control }: Channels,
  { owner, set, brief = false, manifestDigests = [] }: ListQuestion,
  signal?: AbortSignal,
): AsyncGenerator<ListPage> {
  const wanted = manifestDigests.map((digest) => Buffer.from(digest, 'hex'));
  const request = { owner, set, brief, manifestDigests: wanted };
  let entries = 0;
  let bytes = 0;
  let isOver = false;
  for await (const pages of callServerStream(control, peerService.listBackups, request, signal)) {
    for (const page of pages) {
      const { backups, manifestDigests: digests, receivedAtMs } = page;
      if (digests.length !== digestLength * receivedAtMs.length) {
        throw new Failure('invalid', `${control.whom} sends a list that cannot be read`);
      }
      for (const backup of backups) bytes += sizeOf(backup);
      const more = backups.length + receivedAtMs.length;
      const isTooLong = control.isOwnNode !== true && (entries + more > mostEntries || bytes > mostBytes);
      if (isTooLong || isOver) {
        throw new Failure('invalid', `${control.whom} sends a list that does not end: after ${entries} backups`);
      }
      entries += more;
      // Each page counts as progress. After one with nothing in it there is nothing to wait for but the end.
      isOver = more === 0;
      yield { backups, brief: briefEntries(page), minimumDays: page.minimumDays };
    }
  }
}

function briefEntries({ manifestDigests, receivedAtMs }: ListBackupsResponse): BriefEntry[] {
  const digests = Buffer.from(manifestDigests.buffer, manifestDigests.byteOffset, manifestDigests.length);
  return receivedAtMs.map((time, index) => ({
    manifestDigest: digests.toString('hex', index * digestLength, (index + 1) * digestLength),
    receivedAt: time === 0 ? null : time,
  }));
}

/** The whole entries of all pages of {@link listPages} together. */
export async function listBackups(
  channels: Channels,
  filter: ListFilter,
  signal?: AbortSignal,
): Promise<readonly HeldBackup[]> {
  const held: HeldBackup[] = [];
  for await (const { backups } of listPages(channels, filter, signal)) held.push(...backups);
  return held;
}

function sizeOf({ manifest, receipt }: HeldBackup): number {
  const signed = manifest === undefined ? 0 : manifest.manifest.length + lengthOf(manifest);
  return signed + (receipt === undefined ? 0 : receipt.receipt.length + lengthOf(receipt));
}

function lengthOf({ signature, certificate }: Pick<SignedManifest, 'signature' | 'certificate'>): number {
  return signature.length + certificate.length;
}
