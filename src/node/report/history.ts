import { constants, open, rename } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { replaceFile } from '../../mesh/files/replace-file.js';
import { statsIfThere } from '../../mesh/files/stats-if-there.js';
import { Outcome, RunReport, type SetStatus } from '../../mesh/generated/anemone/node/v1/node.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { isMoment } from '../../mesh/terms/moment.js';
import { turnsOf } from '../../mesh/terms/turns.js';

/** The reports of past runs, one JSON object a line, oldest first: a file to read with `tail` and `jq`. */
export interface History {
  /**
   * Keeps a report durably; the newest 1,000 are kept, fewer where they are long. A file that {@link reports} calls damaged
   * is moved aside, as `runs.jsonl.damaged`: the run that is told of here removed nothing by it, and the next one has a past.
   * A report that cannot be written is kept in memory, and written with the next one: a night that failed for want of disk
   * must not look like the good one before it.
   * @returns why it could not be written, or null
   */
  append(report: RunReport): Promise<Failure | null>;
  /**
   * All that are kept, oldest first, those in memory too. A line that cannot be read, such as one torn by a crash, is passed over.
   * @throws Failure `failed` when the file cannot be read at all, `damaged` when something is in it, but no report
   */
  reports(): Promise<RunReport[]>;
  /** Why the newest reports are in memory only, where the end of the node loses them; null when all are written. */
  unsaved(): Failure | null;
  /**
   * Whether older runs than those of {@link reports} are lost: a damaged file was ever moved aside and still lies there, or the
   * first run came long after the server was set up, as where the file has vanished.
   */
  isCut(): Promise<boolean>;
}

/** What tells a server that is new from one whose history is lost. */
export interface Beginning {
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly setUpAt: number;
}

/** Milliseconds from when a server is set up within which its first run is expected. */
const firstRunWithin = 30 * 86_400_000;

const longest = 1000;
/** Bytes that are read, from the end: a report names each backup that a night touched, and a large mesh has many. */
const most = 8 * 2 ** 20;

/** @param file `<data>/.state/runs.jsonl` */
export function openHistory(file: string, beginning: Beginning): History {
  const inTurn = turnsOf(1);
  let waiting: readonly RunReport[] = [];
  let unsaved: Failure | null = null;

  const written = async (): Promise<RunReport[]> => {
    const lines = await readLines(file);
    const readable = lines.flatMap(readReport);
    if (readable.length === 0 && lines.some((line) => line !== '')) throw damaged(file);
    return readable;
  };

  const past = async (): Promise<RunReport[]> => {
    try {
      return await written();
    } catch (thrown) {
      if (Failure.from(thrown).kind !== 'damaged') throw thrown;
      await rename(file, `${file}.damaged`);
      return [];
    }
  };

  const append = async (): Promise<Failure | null> => {
    try {
      const kept = [...(await past()), ...waiting].slice(-longest);
      await replaceFile(file, kept.map((each) => `${JSON.stringify(RunReport.toJSON(each))}\n`).join(''));
      waiting = [];
      unsaved = null;
    } catch (thrown) {
      unsaved = notWritten(file, thrown);
    }
    return unsaved;
  };

  const reports = async (): Promise<RunReport[]> => [...(await written()), ...waiting];

  const beginsLate = async ({ clock, setUpAt }: Beginning): Promise<boolean> => {
    const [first] = await reports();
    return (first?.startedAtMs ?? clock.now()) - setUpAt > firstRunWithin;
  };

  return {
    reports,
    unsaved: () => unsaved,
    async isCut() {
      if ((await statsIfThere(`${file}.damaged`)) !== null) return true;
      return beginsLate(beginning);
    },
    append: (report) =>
      inTurn(() => {
        waiting = [...waiting, report].slice(-longest);
        return append();
      }),
  };
}

/** How sets stand, each by the last run that tried it; one that none ever tried is left out. */
export function setStatuses(reports: readonly RunReport[], sets: readonly string[]): SetStatus[] {
  return sets.flatMap((set) => {
    const tried = reports.flatMap((report) =>
      report.sets.filter((part) => part.set === set).map((part) => ({ part, startedAt: report.startedAtMs })),
    );
    const last = tried.at(-1);
    if (last === undefined) return [];
    const saved = tried.filter(({ part }) => part.outcome !== Outcome.OUTCOME_FAILED);
    const { problem, warnings, moreWarnings } = last.part;
    const times = { triedAtMs: last.startedAt, savedAtMs: saved.at(-1)?.startedAt ?? 0 };
    return [{ set, ...times, problem, warnings: warnings.length + moreWarnings, firstWarning: warnings[0] ?? '' }];
  });
}

/**
 * When the last run began after which nothing needs to be caught up: for every set, a run saved it or found it unchanged.
 * Peers do not count, because the outbox goes on by itself. 0 when one of the sets was tried and never saved. A server
 * without sets only keeps what others bring: any run will do.
 * @param setUpAt milliseconds since 1970; counts as long as no run tried any of these sets
 */
export function lastSuccess(reports: readonly RunReport[], sets: readonly string[], setUpAt: number): number {
  if (sets.length === 0) return reports.at(-1)?.startedAtMs ?? setUpAt;
  const saved = setStatuses(reports, sets).map(({ savedAtMs }) => savedAtMs);
  return saved.length === 0 ? setUpAt : Math.min(...saved);
}

async function readLines(file: string): Promise<string[]> {
  try {
    // A pipe in its place is not waited for.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const start = Math.max(0, (await handle.stat()).size - most);
      // The line in which it begins is torn, so it is passed over.
      return (await text(handle.createReadStream({ start, autoClose: false }))).split('\n');
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    const { message } = Failure.from(thrown);
    throw new Failure('failed', `the history of runs, ${file}, cannot be read: ${message}`, {
      cause: thrown,
      hint: 'Look at the disk. If the file stays unreadable, move it away: the next run begins a new one.',
    });
  }
}

function notWritten(file: string, thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  return Failure.from(thrown).within(`the report of the last run cannot be written to ${file}`, {
    hint: `Look at the disk: \`df -h\`, \`df -i\` and \`ls -l ${file}\`. The next run writes it, and a restart of the node loses it.`,
  });
}

function damaged(file: string): Failure {
  return new Failure('damaged', `the history of runs, ${file}, is damaged: no run in it can be read`, {
    hint: `Look at the disk. The next run removes no old backups, moves the file to ${file}.damaged, and begins a new one.`,
  });
}

function readReport(line: string): RunReport[] {
  try {
    const report = RunReport.fromJSON(JSON.parse(line));
    // With a number that no message can carry, it would be the status that fails.
    RunReport.encode(report).finish();
    const times = [report.startedAtMs, report.finishedAtMs, report.audit?.scrub?.oldestCheckMs ?? 0];
    return times.every(isMoment) ? [report] : [];
  } catch {
    return [];
  }
}
