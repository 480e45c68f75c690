import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { connectToOwnNode } from '../../mesh/peers/own-node.js';
import { parseSetName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { asUsage } from '../as-usage.js';
import type { Context, ExitCode } from '../context.js';
import { followRun } from '../follow-run.js';

/**
 * Has the running node keep a sealed file as the next backup of a set, and push it to every peer.
 * @throws Failure `usage` when there is no such file, `unreachable` without a running node
 */
export async function pushFile(context: Context, file: string, options: { readonly set: string }): Promise<ExitCode> {
  const set = asUsage('--set', () => parseSetName(options.set));
  const path = resolve(context.cwd, file);
  const found = await stat(path).catch((cause: Error) => {
    throw new Failure('usage', `${path} cannot be pushed: ${cause.message}`, { cause });
  });
  if (!found.isFile()) throw new Failure('usage', `${path} is not a file`);
  const { server } = await context.loadConfig();
  const node = await connectToOwnNode(server.socket, context.clock);
  try {
    return await followRun(context, node.pushFile({ path, set }, context.signal));
  } finally {
    node.close();
  }
}
