import { createHash } from 'node:crypto';
import { replaceFile } from '../../mesh/files/replace-file.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { hashSize } from '../../mesh/manifest/digest-tree.js';
import { type Disk, openForReading, readInto } from './disk.js';
import type { Expected, HeldEntry } from './held-entry.js';

/**
 * Changes with every name that comes into a folder or goes from it: its inode, and the one time of it that no program can
 * set, in nanoseconds since 1970.
 */
export type FolderState = `${bigint} ${bigint}`;

/** What an owner's folder holds, and nothing else is in it. */
export interface FolderFacts {
  /** Of the folder that this is about. In any other state, it only tells what was held before. */
  readonly state: FolderState;
  /** With which the manifests were compared; null where the owner is no peer. */
  readonly identity: Identity | null;
  readonly entries: readonly HeldEntry[];
}

/** Begins the file. Another meaning of what follows needs another word. */
const format = 'anemone-facts-1';

type Row = readonly [
  name: string,
  set: string,
  sequence: number,
  createdAt: number,
  receivedAt: number | null,
  size: number,
];

interface Content {
  readonly state: FolderState;
  readonly identity: Identity | null;
  readonly rows: readonly Row[];
  /** Of the manifests, one after the other, in base64. */
  readonly digests: string;
}

export async function stateOf(disk: Disk, folder: string): Promise<FolderState> {
  const { ino, ctimeNs } = await disk.lstat(folder, { bigint: true });
  return `${ino} ${ctimeNs}`;
}

/** When a folder changed, in milliseconds since 1970. */
export function timeOf(state: FolderState): number {
  return Number(state.split(' ')[1]) / 1e6;
}

/** What was written down of a folder. Where that is about another state of it than this one, the folder has to be read. */
export async function readFacts(
  disk: Disk,
  path: string,
  expected: Omit<Expected, 'name'>,
  state: FolderState,
): Promise<{ readonly isCurrent: boolean; readonly entries: readonly HeldEntry[] }> {
  const nothing = { isCurrent: false, entries: [] };
  const content = await read(disk, path).catch(() => null);
  if (content === null) return nothing;
  // Where nothing said which identity to expect, less was compared.
  if (expected.identity !== null && expected.identity !== content.identity) return nothing;
  if (content.rows.some(([, , , , receivedAt]) => expected.own !== (receivedAt === null))) return nothing;
  const { owner, own, identity } = expected;
  const digests = Buffer.from(content.digests, 'base64');
  const entries = content.rows.map(([name, set, sequence, createdAt, receivedAt, size], index) => {
    const digest = digests.subarray(index * hashSize, (index + 1) * hashSize);
    return { owner, name, set, own, sequence, createdAt, receivedAt, size, digest, identity };
  });
  return { isCurrent: content.state === state, entries };
}

export async function writeFacts(path: string, { state, identity, entries }: FolderFacts): Promise<void> {
  const digests = Buffer.concat(entries.map(({ digest }) => digest)).toString('base64');
  const content = JSON.stringify({ state, identity, rows: entries.map(rowOf), digests } satisfies Content);
  await replaceFile(path, `${format} ${checksum(content)}\n${content}`);
}

function rowOf({ name, set, sequence, createdAt, receivedAt, size }: HeldEntry): Row {
  return [name, set, sequence, createdAt, receivedAt, size];
}

/** Null for what is not a whole file of this version. */
async function read(disk: Disk, path: string): Promise<Content | null> {
  const handle = await openForReading(disk, path);
  try {
    const bytes = Buffer.allocUnsafe((await handle.stat()).size);
    const length = await readInto(handle, bytes, 0);
    const start = bytes.indexOf('\n') + 1;
    const content = bytes.subarray(start, length);
    const isWhole = bytes.toString('utf8', 0, start) === `${format} ${checksum(content)}\n`;
    return isWhole ? JSON.parse(content.toString()) : null;
  } finally {
    await handle.close();
  }
}

function checksum(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
