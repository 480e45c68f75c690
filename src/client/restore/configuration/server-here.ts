import { existsSync } from 'node:fs';
import { baseOf, findConfig } from '../../../mesh/config/find.js';
import { isSameFolder } from '../../../mesh/files/real-path.js';
import type { Identity } from '../../../mesh/identity/identity.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Hostname } from '../../../mesh/terms/hostname.js';
import type { Context } from '../../session/context.js';
import { ownersOf } from '../../survey/mesh.js';

/** The server whose configuration this machine has. */
export interface ServerHere {
  /** Null where the configuration cannot be read: it may be the one that is to come back. */
  readonly name: Hostname | null;
  readonly base: string;
  /** The identities that the configuration knows, by hostname; null where nothing tells them, or this machine has no node key. */
  readonly owners: ReadonlyMap<string, Identity> | null;
}

/** What is wrong with the configuration is told, and no reason not to restore. @returns null where there is none */
export async function serverHere(context: Context): Promise<ServerHere | null> {
  // One that is named may be what the restore brings.
  const file = configFileHere(context);
  if (file === null || !existsSync(file)) return null;
  const config = await context.loadConfig().catch((thrown: unknown) => Failure.from(thrown));
  if (config instanceof Failure) {
    context.screen.warn(`${config.message}\nThat is the configuration here: the restore goes on without it.`);
    return { name: null, base: baseOf(file), owners: null };
  }
  const self = await context.self().catch(() => null);
  const owners = self === null ? null : ownersOf(config, self.identity);
  return { name: config.server.name, base: config.base, owners };
}

/** The configuration file that is named or lies in one of the usual places; one that is named need not be there. */
export function configFileHere({ flags, env, cwd }: Context): string | null {
  try {
    return findConfig(flags.config, env, cwd);
  } catch {
    return null;
  }
}

/**
 * A server that comes back into the folder of another one would replace its configuration, and its node key.
 * @param folder that is restored into, where no --target names one
 * @throws Failure `usage`
 */
export async function refuseFolderOfAnother(here: ServerHere | null, owner: string, folder: string): Promise<void> {
  if (here === null || here.name === null || here.name === owner) return;
  if (!(await isSameFolder(here.base, folder))) return;
  throw new Failure('usage', `${folder} is the folder of ${here.name}, and a backup of ${owner} would take its place`, {
    hint: 'Name another folder to restore into, with --target.',
  });
}
