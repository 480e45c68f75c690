import { rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Config } from '../../mesh/config/config.js';
import { loadConfig } from '../../mesh/config/load.js';
import { makeFolders } from '../../mesh/files/make-folders.js';
import { withOwnerHint } from '../../mesh/files/owner-hint.js';
import { syncNewFolders } from '../../mesh/files/sync-folder.js';
import { writeNewFile } from '../../mesh/files/write-new-file.js';
import { findFirst, type ServerIdentity, storeCertificate, storeNodeKey } from '../../mesh/identity/server-identity.js';
import { Failure } from '../../mesh/terms/failure.js';
import { keepOwnRecipient, ownRecipientFile } from './own-recipient.js';
import { stateFolder } from './state-folder.js';

/**
 * Writes what a server has before its recovery key was shown: its configuration, its own recipient, and its node key, which
 * is no identity without a certificate. All are there afterwards, or none.
 */
export async function prepareServer(
  config: Config,
  text: string,
  identity: ServerIdentity,
  recipient: string,
): Promise<void> {
  try {
    await writeConfig(config.file, text);
  } catch (thrown) {
    const folder = dirname(config.file);
    const own = basename(folder) === 'config' ? folder : null;
    throw await withOwnerHint(Failure.from(thrown, 'the configuration cannot be written'), own);
  }
  try {
    await storeNodeKey(identity, stateFolder(config));
    await keepOwnRecipient(stateFolder(config), identity.identity, recipient);
  } catch (thrown) {
    await removeServerFiles(config);
    throw await withOwnerHint(Failure.from(thrown, 'the identity of this server cannot be stored'), config.server.data);
  }
}

/** Makes a server of what {@link prepareServer} wrote. */
export function completeServer(config: Config, identity: ServerIdentity): Promise<void> {
  return storeCertificate(identity, stateFolder(config));
}

/** Takes back what {@link prepareServer} and {@link completeServer} wrote. */
export async function removeServerFiles(config: Config): Promise<void> {
  for (const path of [config.file, ...identityFiles(config), ownRecipientFile(stateFolder(config))]) {
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
  const [key, certificate] = identityFiles(old?.config ?? config);
  const [hasKey, hasCertificate] = await Promise.all([isThere(key), isThere(certificate)]);
  if (hasConfig && hasKey && hasCertificate) {
    throw new Failure('config', `there is a server here already: ${file} exists`, {
      hint: '`anemone-peer identity` shows it. For another server on this machine, give another --dir.',
    });
  }
  if (hasConfig && hasKey) {
    throw new Failure('config', `there is half of a server here: ${file} and ${key} exist, ${certificate} does not`, {
      hint: `If \`anemone-peer init\` was cut off here, remove ${file} and ${key} and run it again: a recovery key that it showed belongs to no server. For a server that lost it, run \`anemone-peer restore\`.`,
    });
  }
  if (hasConfig) {
    const first = await findFirst(dirname(key));
    throw new Failure('config', `there is a configuration here, but no identity: ${file} exists, ${key} does not`, {
      hint: `${first === null ? '' : `${first} `}For a new server, move ${file} away, run this again, and copy what you need into the new one. For one that is rebuilt, run \`anemone-peer restore\`.`,
    });
  }
  const left = [...(hasKey ? [key] : []), ...(hasCertificate ? [certificate] : [])];
  if (left.length > 0) {
    throw new Failure(
      'config',
      `there is an identity here, but no configuration: ${left[0]} exists, ${file} does not`,
      {
        hint: `Put the configuration back, or bring the server back with \`anemone-peer restore\`. For a new server, remove ${left.join(' and ')}.`,
      },
    );
  }
}

function identityFiles(config: Pick<Config, 'server'>): readonly [key: string, certificate: string] {
  const folder = stateFolder(config);
  return [join(folder, 'node.key'), join(folder, 'node.crt')];
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

async function writeConfig(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  const made = await makeFolders(folder);
  if (made !== undefined) await syncNewFolders(folder, made);
  await writeNewFile(path, text, 0o644);
}
