import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { kinds } from './kinds.js';
import { measure, passed, type Tally } from './tally.js';

const usage = `Usage: npm run test:faults -- [--short] [--only KIND]... [--seed N]

Kinds: ${kinds.map(({ name }) => name).join(', ')}
`;

const inside = 'ANEMONE_FAULTS_INSIDE';

const columns: readonly (readonly [title: string, cell: (tally: Tally) => string])[] = [
  ['kind of fault', ({ kind }) => kind],
  ['faults', ({ faults }) => String(faults)],
  ['acknowledged', ({ acknowledged }) => String(acknowledged)],
  ['and lost', ({ lost }) => String(lost)],
  ['damaged as good', ({ damaged }) => String(damaged)],
  ['leftovers', ({ leftovers }) => String(leftovers)],
  ['other', ({ problems }) => String(problems)],
  ['seconds', ({ seconds }) => seconds.toFixed(0)],
  ['', (tally) => `${passed(tally) ? 'passed' : 'FAILED'}${tally.note === '' ? '' : `: ${tally.note}`}`],
];

function table(tallies: readonly Tally[]): string {
  const rows = [columns.map(([title]) => title), ...tallies.map((tally) => columns.map(([, cell]) => cell(tally)))];
  const widths = columns.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  const lines = rows.map((row) =>
    row.map((text, index) => (index % 8 === 0 ? text.padEnd(widths[index] ?? 0) : text.padStart(widths[index] ?? 0))),
  );
  return lines.map((line) => `${line.join('  ').trimEnd()}\n`).join('');
}

/**
 * Mounts are made in a namespace of their own: they are gone when this process is, however it ends, and no other process
 * can keep one of them alive.
 * @returns the exit code of the run in there; null where this is it, or where the user may not make one
 */
function inOwnNamespace(): number | null {
  if (process.getuid?.() !== 0 || process.env[inside] !== undefined) return null;
  const command = [
    '--mount',
    '--propagation',
    'private',
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ];
  const { status, error } = spawnSync('unshare', command, { stdio: 'inherit', env: { ...process.env, [inside]: '1' } });
  return error === undefined ? (status ?? 1) : null;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      seed: { type: 'string', default: '20261123' },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = values.only?.filter((name) => !kinds.some((kind) => kind.name === name)) ?? [];
  if (values.help || unknown.length > 0) {
    process.stdout.write(usage);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const tallies: Tally[] = [];
  const skipped: string[] = [];
  for (const kind of kinds) {
    if (values.only !== undefined && !values.only.includes(kind.name)) continue;
    const missing = kind.missing?.() ?? null;
    if (missing !== null) {
      skipped.push(`skipped: ${kind.title}: ${missing}\n`);
      continue;
    }
    process.stderr.write(`${kind.title}, seed ${values.seed}\n`);
    tallies.push(await measure(kind, values.short ? 'short' : 'long', Number(values.seed)));
  }
  const good = tallies.filter(passed).length;
  process.stdout.write(`\n${table(tallies)}\n${skipped.join('')}${good} passed, ${tallies.length - good} failed\n`);
  process.exitCode = good === tallies.length && good > 0 ? 0 : 1;
}

const code = inOwnNamespace();
if (code === null) await main();
else process.exitCode = code;
