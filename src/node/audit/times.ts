import { readSmallFile } from '../../mesh/files/read-small-file.js';
import { replaceFile } from '../../mesh/files/replace-file.js';
import { Failure } from '../../mesh/terms/failure.js';
import { isMoment } from '../../mesh/terms/moment.js';
import { turnsOf } from '../../mesh/terms/turns.js';

/**
 * When things were last found right, in a file that may be forgotten: what it does not know is looked at first.
 */
export interface Times {
  /** Milliseconds since 1970; undefined for never. */
  get(key: string): number | undefined;
  set(key: string, time: number): void;
  /**
   * Writes the file; what is not to be kept is forgotten.
   * @returns why it could not be written, or null. It counts until the node ends then, and what was found is to be told.
   */
  save(isKept: (key: string) => boolean): Promise<Failure | null>;
}

/** @param file such as `<data>/.state/scrub.json`; one that cannot be read counts as empty */
export async function openTimes(file: string): Promise<Times> {
  const times = await read(file);
  const inTurn = turnsOf(1);
  return {
    get: (key) => times.get(key),
    set: (key, time) => void times.set(key, time),
    save(isKept) {
      for (const key of times.keys()) if (!isKept(key)) times.delete(key);
      return inTurn(() => write(file, times));
    },
  };
}

async function write(file: string, times: ReadonlyMap<string, number>): Promise<Failure | null> {
  try {
    await replaceFile(file, `${JSON.stringify(Object.fromEntries([...times].sort()), null, 1)}\n`);
    return null;
  } catch (thrown) {
    const { kind, message } = Failure.from(thrown);
    return new Failure(kind, `${file} cannot be written: ${message}`, {
      cause: thrown,
      hint: 'Look at the disk. As long as it cannot, a restart of the node forgets what was looked at meanwhile.',
    });
  }
}

async function read(file: string): Promise<Map<string, number>> {
  try {
    const entries = Object.entries(JSON.parse((await readSmallFile(file)).toString()));
    return new Map(entries.filter((entry): entry is [string, number] => isMoment(entry[1])));
  } catch {
    return new Map();
  }
}
