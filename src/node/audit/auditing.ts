import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import type { Identity } from '../../mesh/identity/identity.js';
import { verifyManifest } from '../../mesh/manifest/manifest.js';
import type { Connection } from '../../mesh/peers/connection.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import type { OwnBackup } from '../outbox/owed.js';
import type { Receipts } from '../outbox/receipts.js';
import type { Vault } from '../vault/vault.js';
import { type Audit, openAudit } from './audit-peers.js';
import { auditedPeer } from './audited-peer.js';
import { byLot } from './by-lot.js';
import { heal, type Owner } from './heal.js';
import { openProofs } from './proofs.js';
import { openScrub, type ScrubRun } from './scrub.js';
import { openTimes } from './times.js';

export interface AuditingParts {
  readonly host: Hostname;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly log: Log;
  readonly vault: Vault;
  readonly receipts: Receipts;
  ownBackups(): Promise<readonly OwnBackup[]>;
  /** This server, and every peer of the configuration, disabled ones too. */
  owners(): readonly Owner[];
  /** The connections to the peers of this moment. */
  connections(): readonly Connection[];
  /** Whether nights are scheduled. */
  nights(): boolean;
  /** Has a peer brought what it is owed again. */
  kick(peer: Hostname): void;
}

export interface Auditing extends Audit {
  readonly scrub: ScrubRun;
}

/** What looks after that which is kept: on peers by proofs, here by reading it again. */
export async function openAuditing(parts: AuditingParts): Promise<Auditing> {
  const { vault, identity } = parts;
  const { state } = vault.layout;
  const proofs = openProofs(await openTimes(join(state, 'proofs.json')), parts.clock);
  const checks = await openTimes(join(state, 'scrub.json'));
  const peers = () => parts.connections().map(auditedPeer);
  const healing = { ...parts, peers: () => byLot(peers(), randomInt) };
  const audit = openAudit({
    ...parts,
    proofs,
    draw: randomInt,
    manifestOf: async (name) => verifyManifest((await vault.held(name)).manifest, identity),
    peers,
    owed: parts.kick,
  });
  const healFromPeers = (stopping: AbortSignal) => heal(healing, stopping);
  return { ...audit, scrub: openScrub({ ...parts, times: checks, heal: healFromPeers }) };
}
