import { join } from 'node:path';
import { readSmallFile } from '../../mesh/files/read-small-file.js';
import { replaceFile } from '../../mesh/files/replace-file.js';

/** What went into a backup, so that the next run can tell whether anything changed. */
export interface Fingerprint {
  /** File name of the backup. It counts only while that backup is the newest of its set. */
  readonly backup: string;
  /** SHA-256 of the bytes that the source gave, in hexadecimal. */
  readonly sha256: string;
  /** Whom the backup is sealed for; with other recipients, the same bytes need a new backup. */
  readonly sealedFor: string;
}

export interface Fingerprints {
  /** Undefined when there is none that can be read: then everything counts as changed. */
  read(set: string): Promise<Fingerprint | undefined>;
  /** To be called only once the backup is durable: a fingerprint of a backup that does not exist hides the next one. */
  write(set: string, fingerprint: Fingerprint): Promise<void>;
}

/** @param folder `<data>/.state/fingerprints`: a file a set */
export function openFingerprints(folder: string): Fingerprints {
  const fileOf = (set: string): string => join(folder, `${set}.json`);
  return {
    async read(set) {
      try {
        const { backup, sha256, sealedFor } = JSON.parse((await readSmallFile(fileOf(set))).toString());
        return { backup: String(backup), sha256: String(sha256), sealedFor: String(sealedFor) };
      } catch {
        return undefined;
      }
    },
    write: (set, { backup, sha256, sealedFor }) =>
      replaceFile(fileOf(set), `${JSON.stringify({ backup, sha256, sealedFor })}\n`),
  };
}
