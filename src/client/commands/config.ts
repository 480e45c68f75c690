import { findConfig } from '../../mesh/config/find.js';
import { loadConfig } from '../../mesh/config/load.js';
import { describeConfig, renderConfig } from '../../mesh/config/render.js';
import type { Context, ExitCode } from '../session/context.js';

/**
 * Says that the configuration is right, and what in it is old or surprising.
 * @throws Failure `config` that lists everything that is wrong
 */
export async function validateConfig({ screen, flags, env, cwd }: Context): Promise<ExitCode> {
  const { config, hints } = await loadConfig(findConfig(flags.config, env, cwd));
  for (const hint of hints) screen.warn(hint);
  screen.result({ file: config.file, valid: true, hints }, () => `${config.file} is right.`);
  return 0;
}

/** Shows what is in force: every default written out, every path absolute. */
export async function showConfig({ screen, loadConfig }: Context): Promise<ExitCode> {
  const config = await loadConfig();
  screen.result(describeConfig(config), () => `# ${config.file}\n${renderConfig(config).trimEnd()}`);
  return 0;
}
