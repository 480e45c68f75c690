import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'dist/client/main.js');

/** Before all tests: builds the programs that some of them run as processes, when a source is newer than the build. */
export function setup(): void {
  const built = existsSync(program) ? statSync(program).mtimeMs : 0;
  const sources = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true });
  const newest = Math.max(
    ...sources.filter((entry) => entry.isFile()).map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
  );
  if (built <= newest) bundle();
}

/** In place: programs of the last build may run. Wrong types are for `npm run types` to tell. */
function bundle(): void {
  const bundler = join(root, 'node_modules/rolldown/bin/cli.mjs');
  const { status, stderr } = spawnSync(process.execPath, [bundler, '--config'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the programs cannot be built:\n${stderr}`);
}
