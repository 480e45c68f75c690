import type { PeerAudit, Problem } from '../../mesh/generated/anemone/node/v1/node.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { problemOf } from '../report/problem.js';
import type { Vault } from '../vault/vault.js';
import { type AuditParts, askPeer, auditPeer, type Told } from './audit-peer.js';
import type { AuditedPeer } from './audited-peer.js';

/** What the nights ask of all peers together, each at its own pace. */
export interface Audit {
  /**
   * Before anything is signed or delivered: has every peer say what it lost, so that it is delivered again, and what the newest is
   * that it holds. A peer that is away says nothing.
   */
  ask(signal: AbortSignal): Promise<Told[]>;
  /** After the delivery: has every peer prove what it holds. @param before what {@link ask} found lost */
  proofs(
    before: readonly PeerAudit[],
    signal: AbortSignal,
  ): Promise<{ readonly peers: PeerAudit[]; readonly problems: Problem[] }>;
  /**
   * When a peer last proved what it holds, milliseconds since 1970: the newest backup of that set which it proved longest
   * ago; 0 where it never proved one of the sets.
   */
  lastProof(peer: Hostname): Promise<number>;
}

export interface AuditOptions extends AuditParts {
  readonly vault: Pick<Vault, 'hasLock'>;
  /** The peers of this moment. */
  peers(): readonly AuditedPeer[];
  /** Told of a peer that is owed something again. */
  owed(peer: Hostname): void;
}

export function openAudit(options: AuditOptions): Audit {
  const { peers, owed, proofs, ownBackups, vault } = options;
  return {
    ask: (signal) => Promise.all(peers().map((peer) => askPeer(peer, options, signal))),
    async proofs(before, signal) {
      const results = await Promise.all(
        peers().map(async (peer) => {
          const told = before.find((audit) => audit.peer === peer.name);
          const result = await auditPeer(peer, options, signal, told);
          if (result.report.lost.length > (told?.lost.length ?? 0)) owed(peer.name);
          return result;
        }),
      );
      const unsaved = await proofs.save(vault.hasLock ? null : { peers: peers(), backups: await ownBackups() });
      // What is damaged here may be met by each peer's audit.
      const found = new Map(results.flatMap((result) => result.problems.map((each) => [each.message, each])));
      const problems = [...found.values(), ...(unsaved === null ? [] : [problemOf(unsaved)])];
      return { peers: results.map(({ report }) => report), problems };
    },
    async lastProof(name) {
      const peer = peers().find((each) => each.name === name);
      return peer === undefined ? 0 : proofs.lastOf(peer, await ownBackups());
    },
  };
}
