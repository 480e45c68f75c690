import type { Command } from 'commander';
import { declare, type Run } from './declare.js';

/** The commands that set a server up and tie it to its peers. */
export function declareServer(program: Command, run: Run): void {
  declareInit(program, run);
  declare(program, 'identity', "show this server's identity, and the lines that a peer puts in its configuration", [
    ['anemone-peer identity', 'what to run or write on every other server'],
  ]).action(() => run(async (context) => (await import('../commands/identity.js')).showIdentity(context)));
  declarePeer(program, run);
  declare(program, 'kit', 'write the kit again: what a bare machine needs beside the recovery key', [
    ['anemone-peer kit', 'beside the configuration, as `init` did'],
    ['anemone-peer kit -o - | mail -s "kit of FR1" me@example.org', 'a copy elsewhere; nothing in it is secret'],
  ])
    .option('-o, --output <file>', 'where to write it; - for standard output')
    .action((options) => run(async (context) => (await import('../commands/kit.js')).showKit(context, options)));
  declareConfig(program, run);
}

function declareInit(program: Command, run: Run): void {
  declare(program, 'init', 'make identity, node key, config.yaml and kit; show the recovery key, once', [
    ['anemone-peer init', 'name and VPN address are those of this machine'],
    ['anemone-peer init --name FR1 --listen 10.8.0.1', 'both given; the port is 7443'],
  ])
    .option('--name <host>', "this server's name in the mesh (default: the machine's hostname)")
    .option('--listen <addr[:port]>', 'where peers reach this server (default: the address of the one VPN interface)')
    .option('--dir <dir>', 'where to write config.yaml', './config')
    .option('--page <file>', 'where to write the page to print, with the recovery key (default: in memory)')
    .option('--no-page', 'write no page to print')
    .action((options) => run(async (context) => (await import('../commands/init.js')).initServer(context, options)));
}

function declarePeer(program: Command, run: Run): void {
  const peer = declare(program, 'peer', 'add, remove and list the peers in config.yaml; the running node follows');
  declare(peer, 'add <name>', 'keep backups for a server, and have it keep ours', [
    [
      'anemone-peer peer add FR2 --vpn-ip 10.8.0.2 --identity "…44 characters…" --quota 10GB',
      '`anemone-peer identity` on FR2 prints this line; once more, when FR2 has moved, it changes the address',
    ],
  ])
    .requiredOption('--vpn-ip <addr[:port]>', 'where it is reached; the port is 7443 unless given')
    .requiredOption('--identity <key>', 'its identity, 44 characters')
    .option('--quota <size>', 'what it may store here, such as 10GB; 0 for no limit')
    .action((name, options) =>
      run(async (context) => (await import('../commands/peer.js')).addPeer(context, name, options)),
    );
  declare(peer, 'remove <name>', 'stop serving a server and pushing to it; the backups held for it stay', [
    ['anemone-peer peer remove FR2', 'its open connections are closed'],
  ]).action((name) => run(async (context) => (await import('../commands/peer.js')).removePeer(context, name)));
  declare(peer, 'list', 'the peers of this server', [['anemone-peer peer list --json', 'for scripts']]).action(() =>
    run(async (context) => (await import('../commands/peer.js')).listPeers(context)),
  );
}

function declareConfig(program: Command, run: Run): void {
  const config = declare(program, 'config', 'check and show the configuration');
  declare(config, 'validate', 'say what is wrong with the configuration: file, line, key and the fix', [
    ['anemone-peer config validate --config new.yaml', 'before it is put in place'],
  ]).action(() => run(async (context) => (await import('../commands/config.js')).validateConfig(context)));
  declare(config, 'show', 'the configuration in force, with every default', [
    ['anemone-peer config show --json', 'for scripts'],
  ]).action(() => run(async (context) => (await import('../commands/config.js')).showConfig(context)));
}
