import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { parseSync, Visitor } from 'rolldown/utils';
import { describe, expect, it } from 'vitest';

/**
 * Which rooms a room may import beside itself; `docs/design.md` shows the same table. A room means its own files, `room/*` the
 * rooms within. Arrows point down only, here to rows above.
 */
const arrows: Readonly<Record<string, readonly string[]>> = {
  'mesh/generated': [],
  'mesh/terms': [],
  'mesh/files': ['mesh/terms'],
  'mesh/identity': ['mesh/terms', 'mesh/files'],
  'mesh/config': ['mesh/terms', 'mesh/files', 'mesh/identity'],
  'mesh/envelope': ['mesh/terms'],
  'mesh/manifest': ['mesh/terms', 'mesh/files', 'mesh/identity', 'mesh/generated'],
  'mesh/kit': ['mesh/terms', 'mesh/files', 'mesh/config', 'mesh/identity', 'mesh/envelope'],
  'mesh/wire': ['mesh/terms', 'mesh/generated'],
  'mesh/peers': ['mesh/terms', 'mesh/config', 'mesh/identity', 'mesh/manifest', 'mesh/wire', 'mesh/generated'],
  'node/log': ['mesh/*'],
  'node/vault': ['mesh/*'],
  'node/sources': ['mesh/*'],
  'node/report': ['mesh/*'],
  'node/retention': ['mesh/*'],
  'node/outbox': ['mesh/*', 'node/report', 'node/vault'],
  'node/audit': ['mesh/*', 'node/outbox', 'node/report', 'node/vault'],
  'node/run': ['mesh/*', 'node/audit', 'node/outbox', 'node/report', 'node/sources', 'node/vault'],
  'node/schedule': ['mesh/*'],
  'node/service': ['mesh/*', 'node/vault'],
  node: ['mesh/*', 'node/*'],
  'client/render': ['mesh/*'],
  'client/server': ['mesh/*', 'client/render'],
  'client/session': ['mesh/*', 'client/render', 'client/server'],
  'client/survey': ['mesh/*', 'client/session'],
  'client/restore/unpack': ['mesh/*'],
  'client/restore/opening': ['mesh/*', 'client/session'],
  'client/restore/configuration': ['mesh/*', 'client/session', 'client/survey', 'client/restore/unpack'],
  'client/restore/place': ['mesh/*', 'client/session', 'client/restore/configuration', 'client/restore/unpack'],
  'client/restore/download': ['mesh/*', 'client/server', 'client/session', 'client/survey', 'client/restore/opening'],
  'client/restore/source': [
    'mesh/*',
    'client/session',
    'client/survey',
    'client/restore/configuration',
    'client/restore/download',
    'client/restore/opening',
  ],
  'client/restore/choosing': ['mesh/*', 'client/render', 'client/session', 'client/survey', 'client/restore/source'],
  'client/restore/takeover': [
    'mesh/*',
    'client/server',
    'client/session',
    'client/survey',
    'client/restore/configuration',
    'client/restore/source',
  ],
  'client/restore/telling': [
    'mesh/*',
    'client/session',
    'client/restore/opening',
    'client/restore/place',
    'client/restore/source',
    'client/restore/takeover',
    'client/restore/unpack',
  ],
  'client/restore': ['mesh/*', 'client/render', 'client/server', 'client/session', 'client/restore/*'],
  'client/doctor': ['mesh/*', 'client/render', 'client/server', 'client/session', 'client/survey', 'client/restore/*'],
  'client/commands': [
    'mesh/*',
    'client/render',
    'client/server',
    'client/session',
    'client/survey',
    'client/restore',
    'client/restore/*',
    'client/doctor',
  ],
  'client/usage': ['mesh/*', 'client/session', 'client/commands'],
  client: ['mesh/*', 'client/render', 'client/session', 'client/usage'],
  demo: [],
};

const longestFile = 250;
const longestFunction = 70;

const source = resolve(import.meta.dirname, '../src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.startsWith('mesh/generated/'))
  .sort();

function roomOf(path: string): string {
  if (path.startsWith('mesh/generated/')) return 'mesh/generated';
  return path.split('/').slice(0, -1).join('/');
}

function textOf(path: string): string {
  return readFileSync(join(source, path), 'utf8');
}

/** The files of the project that a file imports, and the packages, also where only types or lazily. */
function importsOf(path: string): { files: string[]; packages: string[] } {
  const found = [...textOf(path).matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name = '']) => name);
  const local = found.filter((name) => name.startsWith('.'));
  return {
    files: local.map((name) => relative(source, resolve(source, dirname(path), name)).replace(/\.js$/, '.ts')),
    packages: found.filter((name) => !name.startsWith('.')),
  };
}

function isAllowed(from: string, to: string): boolean {
  const within = (room: string): boolean => room.endsWith('/*') && to.startsWith(room.slice(0, -1));
  return from === to || (arrows[from] ?? []).some((room) => to === room || within(room));
}

/** Functions and methods that are too long; the line of the closing brace is not counted. */
function longFunctions(path: string, text = textOf(path)): string[] {
  const lineOf = (position: number): number => text.slice(0, position).split('\n').length;
  const long: string[] = [];
  const measure = ({ start, end }: { readonly start: number; readonly end: number }): void => {
    const lines = lineOf(end) - lineOf(start);
    if (lines > longestFunction) long.push(`${path}:${lineOf(start)} has ${lines} lines`);
  };
  const visitor = { FunctionDeclaration: measure, FunctionExpression: measure, ArrowFunctionExpression: measure };
  new Visitor(visitor).visit(parseSync(path, text).program);
  return long;
}

describe('the architecture', () => {
  it('has a row in the table for every room', () => {
    expect(new Set(files.map(roomOf).filter((room) => arrows[room] === undefined))).toEqual(new Set());
  });

  it('has no arrow that is not in the table', () => {
    const wrong = files.flatMap((path) =>
      importsOf(path)
        .files.filter((target) => !isAllowed(roomOf(path), roomOf(target)))
        .map((target) => `${path} -> ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it.each([
    ['client/survey', 'client/commands'],
    ['client/commands', 'client/usage'],
    ['client/restore/download', 'client/restore'],
    ['node/vault', 'node/service'],
    ['node/log', 'node'],
  ])('takes an arrow from %s to %s for a wrong one', (from, to) => {
    expect(isAllowed(from, to)).toBe(false);
  });

  it('has no circle of files', () => {
    const below = new Map(files.map((path) => [path, importsOf(path).files]));
    // A file without an import among those that are left cannot be in a circle; what remains at the end is in one.
    for (let shrank = true; shrank; ) {
      shrank = false;
      for (const [path, imports] of below) {
        if (!imports.some((target) => below.has(target))) shrank = below.delete(path);
      }
    }
    expect([...below.keys()]).toEqual([]);
  });

  it('leaves grpc-js to the tests', () => {
    expect(files.filter((path) => importsOf(path).packages.some((name) => /^@?grpc/.test(name)))).toEqual([]);
  });

  it('has no file that nobody imports', () => {
    const imported = new Set(files.flatMap((path) => importsOf(path).files));
    expect(files.filter((path) => !imported.has(path) && !path.endsWith('/main.ts'))).toEqual([]);
  });

  it('reads the clock and starts timers in one place only', () => {
    const clock = /\bDate\.now\(|\bnew Date\(\)|\bset(?:Timeout|Interval)\(|\bperformance\.now\(/;
    expect(files.filter((path) => clock.test(textOf(path)) && path !== 'mesh/terms/clock.ts')).toEqual([]);
  });

  it('has no file or function that a reader cannot hold', () => {
    const long = files.map((path) => [path, textOf(path).split('\n').length - 1] as const);
    expect(long.filter(([, lines]) => lines > longestFile)).toEqual([]);
    expect(files.flatMap((path) => longFunctions(path))).toEqual([]);
  });

  it.each([
    'function f({\n  a,\n}: {\n  a: number;\n}): void {BODY}',
    'const f = async (): Promise<void> => {BODY};',
    'class C {\n  m(): void {BODY}\n}',
    'const o = {\n  m() {BODY},\n};',
  ])('sees how long %j is', (code) => {
    const file = (lines: number) => code.replace('BODY', '\n'.repeat(lines));
    expect(longFunctions('f.ts', file(longestFunction + 1))).toHaveLength(1);
    expect(longFunctions('f.ts', file(longestFunction - 10))).toEqual([]);
  });
});
