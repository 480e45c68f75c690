import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { plainHeadSize, plaintextKind } from '../../mesh/envelope/looks-plain.js';
import { defaultSet, parseSetName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { asUsage } from '../session/as-usage.js';
import { withOwnNode } from '../session/ask-own-node.js';
import type { Context, ExitCode } from '../session/context.js';
import { followRun } from './follow-run.js';

/**
 * Has the running node keep a sealed file as the next backup of a set, and push it to every peer.
 * @throws Failure `usage` when there is no such file, `unreachable` without a running node
 */
export async function pushFile(context: Context, file: string, options: { readonly set?: string }): Promise<ExitCode> {
  const set = asUsage('--set', () => parseSetName(options.set ?? defaultSet));
  const path = resolve(context.cwd, file);
  const found = await stat(path).catch((cause: Error) => {
    throw new Failure('usage', `${path} cannot be pushed: ${cause.message}`, { cause });
  });
  if (!found.isFile()) throw new Failure('usage', `${path} is not a file`);
  await refusePlaintext(path);
  const config = await context.loadConfig();
  // Whoever names the set knows what it holds.
  if (options.set === undefined && config.backup.sets.some(({ name }) => name === set)) {
    context.screen.warn(intoSource(set));
  }
  return withOwnNode(context, config, (node, signal) => followRun(context, node.pushFile({ path, set }, signal)));
}

function intoSource(set: string): string {
  return (
    `this file becomes the newest backup of the set ${set}, which has a source in the configuration: until the next run ` +
    'makes one, `anemone-peer restore latest` brings this file back instead. `--set NAME` keeps it apart.'
  );
}

/** The node would refuse it too; here nothing of it leaves the file. */
async function refusePlaintext(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(plainHeadSize), 0, plainHeadSize, 0);
    const kind = plaintextKind(buffer.subarray(0, bytesRead));
    if (kind === null) return;
    throw new Failure('invalid', `${path} is not sealed: it looks like ${kind}`, {
      hint: 'Push takes ciphertext. To have a file sealed and kept, name it in a set of the configuration.',
    });
  } finally {
    await file.close();
  }
}
