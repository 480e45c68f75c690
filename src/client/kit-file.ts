import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../mesh/config/config.js';
import { loadConfig } from '../mesh/config/load.js';
import { replaceFile } from '../mesh/files/replace-file.js';
import { loadServerIdentity } from '../mesh/identity/server-identity.js';
import { kitFileName } from '../mesh/kit/kit.js';
import { type MadeKit, makeKit } from '../mesh/kit/make-kit.js';
import { Failure } from '../mesh/terms/failure.js';
import { type Context, stateFolder } from './context.js';

/** Where the kit of a server is kept: beside its configuration, so that it is backed up with it. */
export function kitPath({ file, server }: Pick<Config, 'file' | 'server'>): string {
  return join(dirname(file), kitFileName(server.name));
}

/** Makes the kit of a configuration and writes it, in one step for whoever reads it meanwhile. */
export async function writeKit(context: Pick<Context, 'clock'>, config: Config, path: string): Promise<MadeKit> {
  const { signer } = await loadServerIdentity(stateFolder(config));
  const made = await makeKit(config, signer, context.clock.now());
  try {
    await replaceFile(path, made.text);
  } catch (thrown) {
    throw Failure.from(thrown, `the kit cannot be written to ${path}`);
  }
  return made;
}

/**
 * Writes the kit beside a configuration again, where there is one.
 * @returns null when there is none
 */
export async function refreshKit(
  context: Pick<Context, 'clock'>,
  { file }: Pick<Config, 'file'>,
): Promise<MadeKit | null> {
  const { config } = await loadConfig(file);
  const path = kitPath(config);
  if ((await stat(path).catch(() => null)) === null) return null;
  return writeKit(context, config, path);
}
