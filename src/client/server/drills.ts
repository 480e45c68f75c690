import { join } from 'node:path';
import { readSmallFile } from '../../mesh/files/read-small-file.js';
import { replaceFile } from '../../mesh/files/replace-file.js';
import { Failure } from '../../mesh/terms/failure.js';
import { isMoment } from '../../mesh/terms/moment.js';
import type { Drill, LastDrill } from '../render/drill.js';

/** The newest that are kept. */
const longest = 1000;

/** Keeps a drill durably, as one JSON object a line, oldest first. @param state the folder of the node's private files */
export async function recordDrill(state: string, drill: Drill): Promise<void> {
  const kept = [...(await readDrills(state)), drill].slice(-longest);
  await replaceFile(fileOf(state), kept.map((each) => `${JSON.stringify(each)}\n`).join(''));
}

/** The last time that a recovery was proven. */
export async function lastDrill(state: string): Promise<LastDrill> {
  try {
    return (await readDrills(state)).at(-1);
  } catch (thrown) {
    return Failure.from(thrown);
  }
}

async function readDrills(state: string): Promise<Drill[]> {
  try {
    return (await readSmallFile(fileOf(state))).toString().split('\n').flatMap(readDrill);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw Failure.from(thrown, 'the record of drills cannot be read');
  }
}

/** A line that cannot be read is passed over. */
function readDrill(line: string): Drill[] {
  try {
    const drill = JSON.parse(line) as Partial<Drill>;
    return isMoment(drill.at) && typeof drill.backup === 'string' ? [drill as Drill] : [];
  } catch {
    return [];
  }
}

function fileOf(state: string): string {
  return join(state, 'drills.jsonl');
}
