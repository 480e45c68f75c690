import { join, posix } from 'node:path';
import { formatAddress, isEveryAddress } from '../terms/address.js';
import type { Config } from './config.js';
import { keyText, type LineOf } from './problem.js';
import { didYouMean } from './values.js';

/**
 * What is right and surprising in a configuration.
 * @param isThere whether there is a folder, such as that of a server whose backups are held
 */
export function remarks(
  config: Config,
  lineOf: LineOf,
  isThere: (folder: string) => boolean,
): { line: number; message: string }[] {
  const found: { line: number; message: string }[] = [];
  if (config.backup.sets.length === 0) {
    const message = 'backup.sets is empty: nothing of this server is backed up, it only keeps the backups of its peers';
    found.push({ line: lineOf(['backup', 'sets']), message });
  }
  const { sets, encryption } = config.backup;
  if (sets.length > 0 && encryption.format === 'age' && encryption.recipients.length === 0) {
    const message =
      'backup.encryption.recipients is empty: the kit of this server can be sealed to nobody, so that every run ends in part. Write [age1…]; `anemone-peer doctor` tells the key of this server';
    found.push({ line: lineOf(['backup', 'encryption', 'recipients']), message });
  }
  for (const { name, source } of sets) {
    if (source.kind !== 'command' || !hidesFailures(source.command)) continue;
    const path = ['backup', 'sets', name, 'command'];
    const message = `${keyText(path)}: a shell tells only how the last command of a pipe ended, so a dump that fails in it would be kept as a good backup. Write [bash, -o, pipefail, -c, …]`;
    found.push({ line: lineOf(path), message });
  }
  if (isEveryAddress(config.server.listen)) {
    const message = "server.listen is every address of this machine: write the VPN's, such as 10.8.0.1:7443";
    found.push({ line: lineOf(['server', 'listen']), message });
  }
  for (const [index, { name, address, enabled }] of config.peers.entries()) {
    const before = config.peers.slice(0, index).filter((peer) => peer.enabled);
    const twin = before.find((peer) => formatAddress(peer.address) === formatAddress(address));
    if (!enabled || twin === undefined) continue;
    const message = `peers[${index}].vpn_ip: ${formatAddress(address)} is also the address of ${twin.name}; only one of ${twin.name} and ${name} answers there`;
    found.push({ line: lineOf(['peers', index, 'vpn_ip']), message });
  }
  const names = [config.server.name, ...config.peers.map((peer) => peer.name)];
  for (const [index, peer] of config.peers.entries()) {
    for (const [position, owner] of peer.reads.entries()) {
      // A server that got another name may read what is held of its former one.
      if (names.includes(owner) || isThere(join(config.server.data, owner))) continue;
      // Not this server: that would let the peer read what is for nobody else.
      const others = config.peers.map(({ name }) => name).filter((name) => name !== peer.name);
      const near = didYouMean(owner, others);
      const message = `peers[${index}].reads: ${owner} is no server of this file${near === undefined ? '' : `. ${near}`}`;
      found.push({ line: lineOf(['peers', index, 'reads', position]), message });
    }
  }
  return found;
}

const shells: readonly string[] = ['sh', 'bash', 'dash', 'ash', 'ksh', 'zsh'];

/** Whether a shell is given a pipe, and not asked how all of it ended. */
function hidesFailures(command: readonly string[]): boolean {
  const flag = command.findIndex((word, index) => /^-[a-z]*c$/.test(word) && endsInShell(command.slice(0, index)));
  if (flag < 0 || command.some((word) => /pipefail|pipestatus/i.test(word))) return false;
  // What is quoted is no pipe, unless the shell runs it.
  const bare = command[flag + 1]?.replaceAll(/\\.|'[^']*'|"(?:\\.|[^"\\])*"/gs, (quoted) =>
    /^".*(?:\$\(|`)/s.test(quoted) ? quoted : '',
  );
  return /(?<![|>])\|(?!\|)/.test(bare ?? '');
}

/** Whether the last of these words that is no option, or value of `-o`, is a shell: a container may be called so too. */
function endsInShell(words: readonly string[]): boolean {
  const last = words.findLast((word, index) => !word.startsWith('-') && !/^-[a-z]*o$/.test(words[index - 1] ?? ''));
  return shells.includes(posix.basename(last ?? ''));
}
