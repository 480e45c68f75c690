import { resolve } from 'node:path';
import { makeKit } from '../../mesh/kit/make-kit.js';
import { kitPath, refuseOther, tellMissing, writeKit } from '../server/kit-file.js';
import type { Context, ExitCode } from '../session/context.js';

export interface KitOptions {
  /** `-` for standard output. */
  readonly output?: string;
}

/**
 * Writes the kit of this server again. The recovery key is not needed, and not in it.
 * @throws Failure `config`; `usage` when something else lies where it is to be written
 */
export async function showKit(context: Context, { output }: KitOptions): Promise<ExitCode> {
  const config = await context.loadConfig();
  const { screen, clock, cwd } = context;
  const path = output === undefined ? kitPath(config) : resolve(cwd, output);
  const isShown = output === '-';
  if (output !== undefined && !isShown) await refuseOther(path);
  const { signer } = await context.self();
  const made = isShown ? await makeKit(config, signer, clock.now()) : await writeKit(config, signer, clock.now(), path);
  const { kit, missing, text } = made;
  screen.result(
    {
      file: isShown ? null : path,
      server: kit.server,
      identity: kit.identity,
      peers: kit.peers.map(({ name }) => name),
      vpn: kit.vpn.files.map((file) => file.path),
      missing,
      ...(isShown ? { text } : {}),
    },
    () => (isShown ? text.trimEnd() : path),
  );
  tellMissing(screen, made);
  if (kit.peers.length === 0) screen.note('It names no peers yet; `anemone-peer peer add` refreshes it.');
  if (!isShown) screen.note('Nothing in it can be read that is secret: keep copies of it away from this machine.');
  return 0;
}
