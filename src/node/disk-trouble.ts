import { access, constants, statfs } from 'node:fs/promises';
import { formatByteSize } from '../mesh/terms/byte-size.js';

/** What a file system says of its inodes: each file takes one. Both are 0 where it has no table of them. */
type Inodes = { readonly files: number; readonly ffree: number };

/** Fewer are not enough for a night. */
const leastInodes = 100;

/**
 * What is wrong with the disk of the vault right now, as lines for a person.
 * @param data path of the vault
 * @param free bytes
 * @param minimumFree bytes that always stay free
 */
export async function diskTroubles(
  data: string,
  free: number,
  minimumFree: number,
  inodesOf: (data: string) => Promise<Inodes> = statfs,
): Promise<string[]> {
  const troubles: string[] = [];
  if (free < minimumFree) {
    const [left, floor] = [formatByteSize(free), formatByteSize(minimumFree)];
    troubles.push(
      `${data}: ${left} are free, less than the ${floor} that always stay free: peers' backups are refused`,
    );
  }
  const { files, ffree } = await inodesOf(data).catch(() => ({ files: 0, ffree: 0 }));
  if (files > 0 && ffree < leastInodes) {
    const left = `${ffree} of ${files} inodes are free (\`df -i\`)`;
    troubles.push(`${data}: no more files can be made, and no backup is kept: ${left}`);
  }
  try {
    await access(data, constants.W_OK);
  } catch (thrown) {
    troubles.push(`${data}: nothing can be written, and backups are refused: ${reasonOf(thrown)}`);
  }
  return troubles;
}

function reasonOf(thrown: unknown): string {
  switch ((thrown as NodeJS.ErrnoException).code) {
    case 'EROFS':
      return 'the file system is read-only. The kernel makes it so after an error of the disk: look at `dmesg`';
    case 'EACCES':
      return 'the user of the node may not';
    default:
      return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
