import { type Command, InvalidArgumentError } from 'commander';
import { parseByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { declare, type Run } from './declare.js';

/** The commands that look at backups and bring a server back. */
export function declareRecovery(program: Command, run: Run): void {
  declare(program, 'list [host]', 'what the whole mesh holds: one line a backup, newest first', [
    ['anemone-peer list FR1 --set backup', 'of one server and set; exit code 10 when there is none'],
    ['anemone-peer list --json', 'one row for each backup and holder, and every peer that was asked'],
  ])
    .option('--peer <name>', 'ask this server only')
    .option('--set <set>', 'this set only')
    .action((host, options) =>
      run(async (context) => (await import('../commands/list.js')).listMesh(context, host, options)),
    );
  declare(program, 'show <backup>', 'one backup: its manifest, who holds it, receipts', [
    ['anemone-peer show latest', 'the one that `restore latest` would bring back'],
    ['anemone-peer show 3f2a9c', 'by the beginning of its digest'],
  ]).action((backup) => run(async (context) => (await import('../commands/show.js')).showBackup(context, backup)));
  declare(program, 'fetch <backup>', 'download a backup as it is, sealed, with its manifest beside it', [
    [
      'anemone-peer fetch latest -o /media/usb/fr1.enc',
      'the one that `restore latest` would bring back, verified before the file has its name',
    ],
  ])
    .option('--peer <name>', 'from this server only')
    .option('-o, --output <file>', 'where to write it (default: its name, in this folder)')
    .option('-f, --force', 'replace the file if it is there')
    .action((backup, options) =>
      run(async (context) => (await import('../commands/fetch.js')).fetchToFile(context, backup, options)),
    );
  declareRestore(program, run);
}

function declareRestore(program: Command, run: Run): void {
  declare(program, 'restore [backup]', 'bring this server back: find, verify, unpack, and put into place in one step', [
    ['anemone-peer restore', 'choose from a list; asks for the recovery key'],
    ['anemone-peer restore --kit anemone-kit-FR1.txt', 'on a bare machine; the kit knows the peers'],
    ['anemone-peer restore --server FR1 --peer 10.8.0.2', 'on a bare machine, with nothing but the recovery key'],
    ['anemone-peer restore --at "3 days ago" --dry-run', 'what would be new and changed'],
    [
      'anemone-peer restore latest --dry-run --target EMPTY',
      'everything that is in it: all is new in a folder that is not there',
    ],
    ['anemone-peer restore latest --include config/ssh', 'only this; everything else stays as it is'],
    ['anemone-peer restore --drill', 'prove, from time to time, that the peers can bring this server back'],
    ['anemone-peer restore --from old.enc --allow-unauthenticated', "a file from disk: age, or the predecessor's"],
  ])
    .option(
      '--at <time>',
      'the newest backup up to then: "3 days ago", 2026-11-01, "2026-11-01 14:30" (local time), "2026-11-01 13:30 UTC"',
    )
    .option('--set <set>', 'a backup of this set (default: `backup`, or the one made last where there is none of it)')
    .option('--target <dir>', 'where to restore (default: where the configuration is, or this folder)')
    .option('--dry-run', 'show what would be new and changed; write nothing')
    .option('-y, --yes', 'do not ask; accept the identity that a peer shows')
    .option('--include <pattern>', 'restore only what fits, such as config/ssh; can be given again', collectOne)
    .option('--exclude <pattern>', 'leave out what fits, such as "*.log"; can be given again', collectOne)
    .option('--drill', 'try a recovery from the peers, all but its last step, and record how long it takes')
    .option('--from <file>', 'a sealed file on this disk')
    .option('--allow-unauthenticated', 'open a --from file that has no manifest')
    .option('--kit <file>', 'the kit of the server to bring back: its name, its peers, its VPN')
    .option('--vpn-dir <dir>', 'write the VPN configuration of the kit there')
    .option('--server <host>', 'the server to bring back, on a machine without its configuration')
    .option('--peer <addr[:port][#identity]>', 'a peer that may hold it; can be given again', collect)
    .option('--no-takeover', 'on a bare machine: restore the files only, and leave the living server its place')
    .option('--key-stdin', 'read the keys from standard input, one a line')
    .option('--ownership', 'restore owners, groups and setuid bits too (as root)')
    .option('--max-size <size>', 'most bytes that the archive may unpack to', readSize)
    .option('--max-files <count>', 'most files that the archive may hold', readCount)
    .action((backup, options) =>
      run(async (context) => (await import('../commands/restore.js')).restore(context, backup, options)),
    );
}

/** A flag that is given several times, or once with several words in its variable. */
function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), ...text.split(/[\s,]+/).filter((word) => word !== '')];
}

/** A flag that is given several times, and whose values may hold anything. */
function collectOne(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

function readSize(text: string): number {
  try {
    return parseByteSize(text);
  } catch (thrown) {
    throw new InvalidArgumentError(Failure.from(thrown).hint ?? 'It is a size, such as 10GB.');
  }
}

function readCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is a number of files.');
  return Number(text);
}
