import type { Command } from 'commander';
import { declare, type Run } from './declare.js';

/** The commands that make backups now, and say how things stand. */
export function declareNightly(program: Command, run: Run): void {
  declare(program, 'backup', 'run the nightly story now, through the running node', [
    ['anemone-peer backup', 'all sets, to every peer; nothing when nothing changed'],
    ['anemone-peer backup --set db --force', 'one set, changed or not'],
    ['anemone-peer backup --json', 'one JSON object a line; the last one is the report'],
  ])
    .option('--set <set>', 'this set only')
    .option('--force', 'make a backup even when nothing changed')
    .action((options) => run(async (context) => (await import('../commands/backup.js')).runBackup(context, options)));
  declare(program, 'push <file>', 'push a file that is already sealed', [
    ['anemone-peer push export.age --set db', 'keep it as the next backup of the set db, here and on every peer'],
  ])
    .option('--set <set>', 'the set it becomes a backup of (default: "backup")')
    .action((file, options) =>
      run(async (context) => (await import('../commands/push.js')).pushFile(context, file, options)),
    );
  declare(program, 'status', 'this node, its peers, what is owed to whom, the last run and the next', [
    ['anemone-peer status', 'asks every peer, all at once'],
    [
      'anemone-peer status --json --timeout 5',
      'for monitoring: exit code 0 only when everyone answers, every peer takes our backups, and the sets are saved',
    ],
  ]).action(() => run(async (context) => (await import('../commands/status.js')).showStatus(context)));
  declare(program, 'doctor', 'what is wrong with this server and its peers, why it matters, and what mends it', [
    ['anemone-peer doctor', 'after `init`, after every change, and now and then'],
    ['anemone-peer doctor --json', 'exit code 0: all well; 3: warnings; 1: errors'],
  ]).action(() => run(async (context) => (await import('../commands/doctor.js')).examine(context)));
}
