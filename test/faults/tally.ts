/** What one kind of fault did, in figures. Whatever is not zero where it must be is told at once, on standard error. */
export interface Tally {
  readonly kind: string;
  readonly faults: number;
  /** Backups that were acknowledged while there were faults, or after. */
  readonly acknowledged: number;
  readonly lost: number;
  /** Damaged backups that were listed, served or counted as good. */
  readonly damaged: number;
  /** Temporaries and open files that nobody will ever remove. */
  readonly leftovers: number;
  /** Crashes, hangs, and whatever else must not happen. */
  readonly problems: number;
  readonly seconds: number;
  /** True for the control: it leaves out what protects, and has to lose something. */
  readonly control: boolean;
  /** What the figures leave open, in a few words. */
  readonly note: string;
}

export interface Recorder {
  readonly seed: number;
  note: string;
  fault(count?: number): void;
  acknowledged(count?: number): void;
  lost(what: string): void;
  damaged(what: string): void;
  leftover(what: string): void;
  problem(what: string): void;
  readonly faults: number;
}

export interface Kind {
  readonly name: string;
  readonly title: string;
  readonly control?: boolean;
  /** What this machine or user cannot do, so that the kind has to be left out; null where nothing is in the way. */
  missing?(): string | null;
  run(recorder: Recorder, scale: Scale): Promise<void>;
}

/** How much is done: `long` makes the figures of docs/reliability.md, `short` is for every commit. */
export type Scale = 'long' | 'short';

/** Not every one of a thousand equal lines has to be read. */
const mostTold = 20;

export async function measure(kind: Kind, scale: Scale, seed: number): Promise<Tally> {
  const counts = { faults: 0, acknowledged: 0, lost: 0, damaged: 0, leftovers: 0, problems: 0 };
  let told = 0;
  const add =
    (what: 'lost' | 'damaged' | 'leftovers' | 'problems') =>
    (text: string): void => {
      counts[what] += 1;
      told += 1;
      if (kind.control !== true && told <= mostTold) process.stderr.write(`  ${kind.name}: ${what}: ${text}\n`);
    };
  const recorder: Recorder = {
    seed,
    note: '',
    fault: (count = 1) => {
      counts.faults += count;
    },
    acknowledged: (count = 1) => {
      counts.acknowledged += count;
    },
    lost: add('lost'),
    damaged: add('damaged'),
    leftover: add('leftovers'),
    problem: add('problems'),
    get faults() {
      return counts.faults;
    },
  };
  const start = performance.now();
  const progress = setInterval(() => {
    const { faults, acknowledged, lost, damaged, leftovers, problems } = counts;
    process.stderr.write(
      `  ${kind.name}: ${faults} faults so far, ${acknowledged} acknowledged, ${lost} lost, ${damaged} damaged, ` +
        `${leftovers} left over, ${problems} other\n`,
    );
  }, 60_000);
  try {
    await kind.run(recorder, scale);
  } catch (thrown) {
    recorder.problem(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  } finally {
    clearInterval(progress);
  }
  const seconds = (performance.now() - start) / 1000;
  return { kind: kind.title, ...counts, seconds, control: kind.control === true, note: recorder.note };
}

/** Whether everything is as promised; a kind without a single fault proves nothing, and the control has to lose some. */
export function passed({ faults, lost, damaged, leftovers, problems, control }: Tally): boolean {
  if (faults === 0 || problems > 0) return false;
  return control ? lost > 0 : lost + damaged + leftovers === 0;
}
