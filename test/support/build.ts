import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
/** What the node tells of its services, by reflection; made by `npm run generate` beside the generated code. */
const descriptors = 'src/mesh/generated/descriptors.binpb';
const program = join(root, 'dist/client/main.js');

/** Before all tests: builds the programs that some of them run as processes, when a source is newer than the build. */
export function setup(): void {
  const built = existsSync(program) ? statSync(program).mtimeMs : 0;
  const sources = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true });
  const newest = Math.max(
    ...sources.filter((entry) => entry.isFile()).map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
  );
  if (built <= newest) compile();
  copyFileSync(join(root, descriptors), join(root, descriptors.replace('src', 'dist')));
}

function compile(): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
    cwd: root,
    encoding: 'utf8',
  });
  // Programs come out even with a wrong type, which `npm run types` is there to tell.
  if (!existsSync(program)) throw new Error(`the programs cannot be built:\n${stdout}`);
}
