import { existsSync } from 'node:fs';
import { findConfig } from '../../mesh/config/find.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Context } from '../session/context.js';
import { ownersOf } from '../survey/mesh.js';

/** The server whose configuration this machine has. */
export interface ServerHere {
  readonly name: Hostname;
  readonly base: string;
  /** The identities that the configuration knows, by hostname; null where this machine has no node key. */
  readonly owners: ReadonlyMap<string, Identity> | null;
}

/** @returns null where there is no configuration */
export async function serverHere(context: Context): Promise<ServerHere | null> {
  // One that is named may be what the restore brings.
  const file = configFileHere(context);
  if (file === null || !existsSync(file)) return null;
  const config = await context.loadConfig();
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
export function refuseFolderOfAnother(here: ServerHere | null, owner: string, folder: string): void {
  if (here === null || here.base !== folder || here.name === owner) return;
  throw new Failure('usage', `${folder} is the folder of ${here.name}, and a backup of ${owner} would take its place`, {
    hint: 'Name another folder to restore into, with --target.',
  });
}
