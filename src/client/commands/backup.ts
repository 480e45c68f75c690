import { kitSet, parseSetName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { asUsage } from '../session/as-usage.js';
import { withOwnNode } from '../session/ask-own-node.js';
import type { Context, ExitCode } from '../session/context.js';
import { followRun } from './follow-run.js';

export interface BackupOptions {
  readonly set?: string;
  readonly force?: boolean;
}

/**
 * Runs the nightly story now, through the running node.
 * @throws Failure `not-found` for a set that the configuration does not have, `unreachable` without a running node
 */
export async function runBackup(context: Context, { set = '', force = false }: BackupOptions): Promise<ExitCode> {
  const config = await context.loadConfig();
  const names = config.backup.sets.map(({ name }) => name);
  if (set !== '' && ![...names, kitSet].includes(asUsage('--set', () => parseSetName(set)))) {
    throw new Failure('not-found', `the configuration has no set ${set}`, {
      hint: `It has: ${names.join(', ') || 'none'}.`,
    });
  }
  return withOwnNode(context, config, (node, signal) => followRun(context, node.runBackup({ set, force }, signal)));
}
