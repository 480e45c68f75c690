#!/usr/bin/env -S node --single-threaded-gc --disable-warning=ExperimentalWarning
// Above: that X25519 is experimental in an older Node.js is nothing to read on the worst day.
import '../mesh/terms/spare-memory.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findConfig } from '../mesh/config/find.js';
import { loadConfig } from '../mesh/config/load.js';
import { loadServerIdentity } from '../mesh/identity/server-identity.js';
import { systemClock } from '../mesh/terms/clock.js';
import { exitCodes } from '../mesh/terms/exit-code.js';
import { Failure, type FailureKind } from '../mesh/terms/failure.js';
import { fingerprint } from './follow-file.js';

const usage = `anemone-node keeps the backups of its peers, and makes and pushes its own.

Usage: anemone-node [--config FILE]           serve until SIGTERM or SIGINT; SIGHUP reads the configuration again
       anemone-node --check [--config FILE]   check the configuration and exit
       anemone-node --prune [--config FILE]   remove now what retention does not keep, while no node runs
       anemone-node --prune --dry-run         show what would go, what stays, and why; also while a node runs
       anemone-node --health [--config FILE]  exit with 0 if the node of this server runs and serves

  --config FILE   also ANEMONE_CONFIG; else ./config/config.yaml, /config/config.yaml, /etc/anemone/config.yaml
  --log LEVEL     debug, info (default), warn or error; also ANEMONE_LOG
  --version       print the version
`;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const levels = ['debug', 'info', 'warn', 'error'] as const;

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        config: { type: 'string' },
        check: { type: 'boolean', default: false },
        prune: { type: 'boolean', default: false },
        'dry-run': { type: 'boolean', default: false },
        health: { type: 'boolean', default: false },
        log: { type: 'string', default: process.env['ANEMONE_LOG'] || 'info' },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false },
      },
    });
    const level = levels.find((each) => each === values.log);
    if (level === undefined) throw new Error(`--log takes ${levels.join(', ')}, not ${values.log}`);
    if (values['dry-run'] && !values.prune) throw new Error('--dry-run goes with --prune');
    return { ...values, level };
  } catch (cause) {
    throw new Failure('usage', (cause as Error).message, { cause, hint: 'See `anemone-node --help`.' });
  }
}

async function main(): Promise<void> {
  const flags = readArguments();
  if (flags.help) return void process.stdout.write(usage);
  if (flags.version) return void process.stdout.write(`${version}\n`);
  const file = findConfig(flags.config, process.env, process.cwd());
  // Before it is read: a change while the node starts is followed as any other.
  const known = await fingerprint(file);
  const { config, hints } = await loadConfig(file);
  if (flags.check) {
    for (const hint of hints) process.stderr.write(`${hint}\n`);
    return void process.stdout.write(`${config.file} is right\n`);
  }
  if (flags.health) {
    const { askOwnHealth } = await import('../mesh/peers/own-health.js');
    await askOwnHealth(config.server.socket, systemClock);
    return void process.stdout.write('the node serves\n');
  }
  if (flags.prune && flags['dry-run']) {
    const { previewPrune } = await import('./prune.js');
    const { identity } = await loadServerIdentity(join(config.server.data, '.state'));
    return void process.stdout.write(`${await previewPrune(config, identity, systemClock)}\n`);
  }
  // Not before: the health check, which is a process every half minute, does without.
  const { startNode } = await import('./compose.js');
  const { openLog } = await import('./log/log.js');
  // What a node keeps is for its user only, whatever the shell that started it says.
  process.umask(0o077);
  const log = openLog({
    folder: config.server.logs,
    stderr: process.stderr,
    terminal: process.stderr.isTTY,
    colour: process.stderr.isTTY && !process.env['NO_COLOR'],
    level: flags.level,
  });
  for (const hint of hints) log.warn('configuration', { hint });
  if (flags.prune) {
    const { prune } = await import('./prune.js');
    const self = await loadServerIdentity(join(config.server.data, '.state'));
    const { removed, failures } = await prune(config, self, systemClock, log).finally(() => log.close());
    process.stdout.write(removed.map((name) => `removed ${name}\n`).join(''));
    const last = failures.at(-1);
    failures.slice(0, -1).forEach(tell);
    if (last !== undefined) throw last;
    if (removed.length === 0) process.stdout.write('nothing to remove\n');
    return;
  }
  // Before the start: who has been told that the node started may stop it at once.
  const stopped = askedToStop();
  const nothing = async (): Promise<unknown> => undefined;
  let reload = nothing;
  // A terminal that goes away sends it too, also to what was started with nohup: Node.js forgets that it was ignored.
  process.on('SIGHUP', () => {
    reload().catch((thrown) => log.error('configuration not followed', { reason: Failure.from(thrown).message }));
  });
  try {
    const node = await startNode(config, known, version, log, systemClock).catch((thrown) => {
      log.error('node not started', { reason: Failure.from(thrown).message });
      throw thrown;
    });
    reload = node.reload;
    const signal = await stopped;
    reload = nothing;
    log.info('node stopping', { signal });
    await node.stop();
  } finally {
    await log.close();
  }
}

/** Resolves with the first signal to stop. The same one a second time ends the process where it is. */
function askedToStop(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}

function tell({ message, hint }: Failure): void {
  process.stderr.write(`anemone-node: ${message}\n${hint === undefined ? '' : `${hint}\n`}`);
}

/** What a node tells by an exit code of its own; a health check, for one, knows no others than 0 and 1. */
const told: readonly FailureKind[] = ['config', 'usage', 'locked'];

main().catch((thrown: unknown) => {
  const failure = Failure.from(thrown);
  tell(failure);
  // The exit code alone would not end it: what a start had opened keeps the process, and nobody would start it again.
  process.exit(exitCodes[told.includes(failure.kind) ? failure.kind : 'failed']);
});
