import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../mesh/config/config.js';
import { loadConfig } from '../mesh/config/load.js';
import { syncFolder, syncNewFolders } from '../mesh/files/sync-folder.js';
import { type ServerIdentity, storeServerIdentity } from '../mesh/identity/server-identity.js';
import { Failure } from '../mesh/terms/failure.js';
import { stateFolder } from './context.js';

/** Writes what makes a folder a server: its configuration and its identity. Both are there afterwards, or neither. */
export async function writeServerFiles(config: Config, text: string, identity: ServerIdentity): Promise<void> {
  try {
    await writeNewFile(config.file, text);
  } catch (thrown) {
    throw Failure.from(thrown, 'the configuration cannot be written');
  }
  try {
    await storeServerIdentity(identity, stateFolder(config));
  } catch (thrown) {
    await removeServerFiles(config);
    throw Failure.from(thrown, 'the identity of this server cannot be stored');
  }
}

/** Takes back what {@link writeServerFiles} wrote. */
export async function removeServerFiles(config: Config): Promise<void> {
  for (const path of [config.file, keyOf(config), join(stateFolder(config), 'node.crt')]) {
    // Why it is taken back is what a person has to know. What stays all the same is named when it is in the way.
    await rm(path, { force: true }).catch(() => undefined);
  }
}

/** @throws Failure `config` when there is a server already, or half of one */
export async function refuseSecondServer(config: Config): Promise<void> {
  const { file } = config;
  const hasConfig = await isThere(file);
  // It may keep its data elsewhere than a new one would.
  const old = hasConfig ? await loadConfig(file).catch(() => null) : null;
  const key = keyOf(old?.config ?? config);
  const hasKey = await isThere(key);
  if (hasConfig && hasKey) {
    throw new Failure('config', `there is a server here already: ${file} exists`, {
      hint: '`anemone-peer identity` shows it. For another server on this machine, give another --dir.',
    });
  }
  if (hasConfig) {
    throw new Failure('config', `there is a configuration here, but no identity: ${file} exists, ${key} does not`, {
      hint: `For a new server, move ${file} away, run this again, and copy what you need into the new one. For one that is rebuilt, run \`anemone-peer restore\`.`,
    });
  }
  if (hasKey) {
    throw new Failure('config', `there is an identity here, but no configuration: ${key} exists, ${file} does not`, {
      hint: `Put the configuration back, or bring the server back with \`anemone-peer restore\`. For a new server, remove ${key}.`,
    });
  }
}

function keyOf(config: Pick<Config, 'server'>): string {
  return join(stateFolder(config), 'node.key');
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Writes a file that must not exist, durably. When it fails, what it wrote is gone again. */
async function writeNewFile(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  const made = await mkdir(folder, { recursive: true });
  const file = await open(path, 'wx', 0o644);
  try {
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(folder);
    if (made !== undefined) await syncNewFolders(folder, made);
  } catch (thrown) {
    await rm(path, { force: true });
    throw thrown;
  }
}
