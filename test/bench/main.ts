import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseByteSize } from '../../src/mesh/terms/byte-size.js';
import { families } from './families.js';
import { keepFreeMemory } from './machine/memory.js';
import { renderRows } from './render.js';
import type { Bench, Family, Row } from './row.js';
import { skipped } from './row.js';

const usage = `npm run bench [-- --only push,fetch] [--size 1GiB] [--rounds 5] [--json]

  --only NAMES   some of: ${families.map(({ name }) => name).join(', ')}
  --size SIZE    of the large file (default 1GiB)
  --rounds N     how often every contender works (default 5); medians are told
  --json         one JSON document on standard output
  --profile DIR  leave a CPU profile of every Node that took part there, for DevTools

Files lie in TMPDIR, which decides the disk that is measured; six times the size must be free there.
`;

/** Runs one family in a folder of its own, and tidies up after it. */
async function measure(family: Family, options: Omit<Bench, 'folder' | 'defer'>): Promise<Row[]> {
  const missing = family.missing();
  if (missing !== null) return [skipped(family.name, missing)];
  const folder = await mkdtemp(join(tmpdir(), 'anemone-bench-'));
  const closers: (() => Promise<unknown> | unknown)[] = [keepFreeMemory()];
  const close = async (): Promise<void> => {
    for (let next = closers.pop(); next !== undefined; next = closers.pop()) await next();
    await rm(folder, { recursive: true, force: true });
  };
  const interrupted = (): void => void close().finally(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  const bench: Bench = { ...options, folder, defer: (closer) => void closers.push(closer) };
  try {
    return await family.run(bench);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
    await close();
  }
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    size: { type: 'string', default: '1GiB' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const wanted = values.only?.split(',') ?? families.map(({ name }) => name);
const unknown = wanted.filter((name) => !families.some((family) => family.name === name));
if (values.help || unknown.length > 0) {
  process.stderr.write(unknown.length > 0 ? `there is no ${unknown.join(', ')}\n\n${usage}` : usage);
  process.exit(values.help ? 0 : 2);
}

const { profile } = values;
const options = {
  size: parseByteSize(values.size),
  rounds: Number(values.rounds),
  nodeFlags: profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profile)}`],
};
const rows: Row[] = [];
let failed = false;
for (const family of families.filter(({ name }) => wanted.includes(name))) {
  process.stderr.write(`${family.name} …\n`);
  try {
    rows.push(...(await measure(family, options)));
  } catch (thrown) {
    failed = true;
    process.stderr.write(`${family.name}: ${(thrown as Error).stack}\n`);
  }
}
const machine = { node: process.version, cpus: cpus().map(({ model }) => model), load: loadavg() };
if (values.json)
  process.stdout.write(`${JSON.stringify({ machine, size: values.size, rounds: values.rounds, rows }, null, 2)}\n`);
else {
  const load = machine.load.map((each) => each.toFixed(1)).join(' ');
  process.stdout.write(
    `${renderRows(rows)}\n\n${machine.cpus.length} x ${machine.cpus[0]}, Node ${machine.node}, load ${load}\n`,
  );
}
process.exit(failed ? 1 : 0);
