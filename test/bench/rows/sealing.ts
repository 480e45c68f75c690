import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, contest, of } from '../contest.js';
import { missingPrograms, run, timed } from '../machine/processes.js';
import { atLeast, type Family, type Row, skipped } from '../row.js';
import { startWorker } from '../workers/worker.js';

const missingAge = (): string | null => missingPrograms(['age', 'age']);

/** The envelope: a file through it, to nowhere. */
export const seal: Family = {
  name: 'seal',
  missing: () => null,
  async run(bench) {
    const path = join(bench.folder, 'plain');
    const sealed = join(bench.folder, 'sealed.age');
    const [mine, bare] = [startWorker(bench), startWorker(bench)];
    await mine.do('makeRandom', { path, size: bench.size });
    const { identity, recipient } = await mine.do('makeAgeKey', null);
    await mine.do('sealTo', { path, recipient, target: sealed });
    const keyFile = join(bench.folder, 'key.txt');
    await writeFile(keyFile, `${identity}\n`);
    const take = (name: string, pid: number, work: () => Promise<unknown>): Contender => ({
      name,
      run: () => timed([pid], work),
    });
    const age = (name: string, ...args: string[]): Contender[] =>
      missingAge() === null ? [take(name, process.pid, () => run(['age', ...args]))] : [];
    const medians = await contest(
      [
        take('seal', mine.pid, () => mine.do('seal', { path, recipient })),
        take('bare seal', bare.pid, () => bare.do('bareSeal', { path })),
        ...age('age seal', '-r', recipient, '-o', '/dev/null', path),
        take('open', mine.pid, () => mine.do('open', { path: sealed, identity })),
        take('bare open', bare.pid, () => bare.do('bareOpen', { path: sealed })),
        ...age('age open', '-d', '-i', keyFile, '-o', '/dev/null', sealed),
      ],
      bench.rounds,
    );
    const rate = (name: string): string => `${name} ${Math.round(bench.size / 2 ** 20 / of(medians, name).seconds)}`;
    return ['seal', 'open'].flatMap((verb): Row[] => {
      const names = [...medians.keys()].filter((name) => name.endsWith(verb));
      const detail = `MiB/s: ${names.map(rate).join(', ')}`;
      const ratio = (other: string): number => of(medians, other).seconds / of(medians, verb).seconds;
      const missing = missingAge();
      return [
        atLeast(`${verb}, against a bare node:crypto loop`, 0.9, 'x', ratio(`bare ${verb}`), detail),
        missing === null
          ? atLeast(`${verb}, against Debian's age`, 1, 'x', ratio(`age ${verb}`), detail)
          : skipped(`${verb}, against Debian's age`, missing),
      ];
    });
  },
};
