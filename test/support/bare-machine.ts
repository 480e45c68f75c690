import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { restore } from '../../src/client/commands/restore.js';
import type { RestoreOptions } from '../../src/client/restore/options.js';
import type { ExitCode } from '../../src/client/session/context.js';
import type { HeldBackup } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import { formatAddress } from '../../src/mesh/terms/address.js';
import { type CommandOptions, type CommandTrial, commandTrial } from './command.js';
import { type HostilePeer, type Lies, startHostilePeer } from './hostile-peer.js';
import { type PeerNode, peerConfig, startPeerNode } from './peer-node.js';
import { type RecoverableServer, type Restorable, recoverableServer, sealTree } from './restorable.js';

/** An empty folder that FR1 is to come back in, and its two peers. They hold nothing yet, and are gone with the test. */
export interface BareMachine {
  readonly folder: string;
  readonly fr1: RecoverableServer;
  readonly fr2: PeerNode;
  readonly us1: PeerNode;
  /** Two backups of FR1, `secret old` and `secret new` in config/secret.key, with a configuration that knows both peers. */
  readonly older: Restorable;
  readonly newer: Restorable;
  /** Restores `latest` from both peers, the recovery key on standard input and --yes given, unless told otherwise. */
  restore(
    options?: Partial<RestoreOptions>,
    more?: Partial<CommandOptions>,
  ): Promise<CommandTrial & { readonly code: ExitCode }>;
  /** What is in the folder. */
  left(): Promise<string[]>;
  /** Adds a peer DE1 that lies. @returns what --peer says to call it */
  addLiar(lies: (server: HostilePeer['server']) => Lies): Promise<string>;
  /** Ends a peer before the test ends. */
  stop(peer: PeerNode): Promise<void>;
}

export async function makeBareMachine(): Promise<BareMachine> {
  const fr1 = recoverableServer('FR1');
  const folder = await mkdtemp(join(tmpdir(), 'anemone-restore-'));
  const peers = [peerConfig('FR1', fr1.server)];
  const [fr2, us1] = await Promise.all([startPeerNode({ name: 'FR2', peers }), startPeerNode({ name: 'US1', peers })]);
  const older = await sealTree(fr1, treeOf('old', fr2, us1), { createdAtMs: Date.UTC(2026, 10, 20, 1) });
  const newer = await sealTree(fr1, treeOf('new', fr2, us1), {
    sequence: 2,
    previous: older.manifest.digest,
    createdAtMs: Date.UTC(2026, 10, 21, 1),
  });
  const running = new Set<{ stop(): Promise<void> }>([fr2, us1]);
  onTestFinished(async () => {
    await Promise.all([...running].map((peer) => peer.stop()));
    await rm(folder, { recursive: true, force: true });
  });
  return {
    folder,
    fr1,
    fr2,
    us1,
    older,
    newer,
    async restore(options = {}, more = {}) {
      const trial = commandTrial({ cwd: folder, stdin: `${fr1.recoveryKey}\n`, ...more });
      const code = await restore(trial.context, options.at === undefined ? 'latest' : undefined, {
        server: 'FR1',
        peer: [pinned(fr2), pinned(us1)],
        yes: true,
        keyStdin: true,
        takeover: true,
        ...options,
      });
      return { ...trial, code };
    },
    left: async () => (await readdir(folder)).sort(),
    async addLiar(lies) {
      const liar = await startHostilePeer('DE1', fr1.server, lies);
      running.add(liar);
      return `${formatAddress(liar.peer.address)}#${liar.peer.identity}`;
    },
    async stop(peer) {
      running.delete(peer);
      await peer.stop();
    },
  };
}

/** The tree of FR1, with a configuration that knows both peers. */
export function treeOf(content: string, ...peers: readonly PeerNode[]) {
  const lines = peers.map(
    (peer) =>
      `  - { name: ${peer.name}, vpn_ip: "${formatAddress(peer.address)}", identity: "${peer.server.identity}" }\n`,
  );
  const config = `server: { name: FR1, listen: "127.0.0.1:7443" }\npeers:\n${lines.join('')}`;
  return [
    { name: 'config/', type: '5', mode: 0o755 },
    { name: 'config/config.yaml', body: config, mode: 0o644 },
    { name: 'config/secret.key', body: `secret ${content}`, mode: 0o600 },
    { name: 'config/the link', type: '2', linkname: '/etc/hostname' },
  ];
}

/** How --peer names a peer whose identity is known. */
export function pinned(node: PeerNode): string {
  return `${formatAddress(node.address)}#${node.server.identity}`;
}

/** The entry that an honest holder of a backup would show. */
export function entryOf({ manifest }: Restorable, holder: HostilePeer['server']): HeldBackup {
  const receipt = signReceipt({ manifestDigest: manifest.digest, receivedAt: 1 }, holder.signer);
  return { manifest: manifest.signed, receipt };
}
