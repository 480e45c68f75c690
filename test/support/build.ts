import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'dist/client/main.js');
/** What the programs are made of. A folder is newer than the build when a file of it has come or gone. */
const sources = ['src', 'package.json', 'rolldown.config.ts'];

/** Before all tests: builds the programs that some of them run as processes, when a source is newer than the build. */
export function setup(): void {
  const built = existsSync(program) ? statSync(program).mtimeMs : 0;
  if (sources.some((source) => newest(join(root, source)) >= built)) bundle();
}

function newest(path: string): number {
  const stats = statSync(path);
  const inside = stats.isDirectory() ? readdirSync(path).map((name) => newest(join(path, name))) : [];
  return Math.max(stats.mtimeMs, ...inside);
}

/** In place: programs of the last build may run. Wrong types are for `npm run types` to tell. */
function bundle(): void {
  const bundler = join(root, 'node_modules/rolldown/bin/cli.mjs');
  const { status, stderr } = spawnSync(process.execPath, [bundler, '--config'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the programs cannot be built:\n${stderr}`);
}
