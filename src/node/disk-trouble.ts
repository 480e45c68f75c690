import { access, constants } from 'node:fs/promises';
import { formatByteSize } from '../mesh/terms/byte-size.js';

/**
 * What is wrong with the disk of the vault right now, as lines for a person.
 * @param data path of the vault
 * @param free bytes
 * @param minimumFree bytes that always stay free
 */
export async function diskTroubles(data: string, free: number, minimumFree: number): Promise<string[]> {
  const troubles: string[] = [];
  if (free < minimumFree) {
    const [left, floor] = [formatByteSize(free), formatByteSize(minimumFree)];
    troubles.push(
      `${data}: ${left} are free, less than the ${floor} that always stay free: peers' backups are refused`,
    );
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
