import { type UploadNow, uploadAt } from '../mesh/config/upload-limit.js';
import { enabledPeers } from '../mesh/peers/configured-peers.js';
import type { Connection } from '../mesh/peers/connection.js';
import { openPool } from '../mesh/peers/pool.js';
import type { Base } from './base.js';
import { currentServers } from './current-servers.js';
import type { OutboxPeer } from './outbox/deliver.js';
import { type Outbox, openOutbox } from './outbox/outbox.js';
import { outboxPeer } from './outbox/outbox-peer.js';
import type { OwnBackup } from './outbox/owed.js';
import { rateLimit } from './outbox/rate-limit.js';
import type { Receipts } from './outbox/receipts.js';
import type { Epochs } from './service/epochs.js';
import type { Vault } from './vault/vault.js';

export interface DeliveriesParts {
  readonly vault: Vault;
  readonly epochs: Epochs;
  readonly receipts: Receipts;
  ownBackups(): Promise<readonly OwnBackup[]>;
}

/** What goes to the peers, and over what. */
export interface Deliveries {
  readonly outbox: Outbox;
  /** The connections to the peers of this moment. */
  connections(): readonly Connection[];
  /** How much may be sent to all peers together now. */
  upload(): UploadNow;
  /** Takes the peers and the limit that are configured now. */
  follow(): Promise<void>;
  stop(): Promise<void>;
}

/** The outbox, with a connection to each peer of this moment: for nobody before it first follows. */
export function startDeliveries(base: Base, { vault, epochs, receipts, ownBackups }: DeliveriesParts): Deliveries {
  const { self, log, clock } = base;
  const pool = openPool(self, clock, currentServers(epochs, log));
  const upload = (): UploadNow => uploadAt(base.config.limits.upload, base.config.backup.timezone, clock.now());
  const limit = rateLimit(clock, () => upload().rate);
  let known = new Map<Connection, OutboxPeer>();
  const currentPeers = (): OutboxPeer[] => {
    const next = new Map<Connection, OutboxPeer>();
    for (const connection of pool.follow(enabledPeers(base.config))) {
      next.set(connection, known.get(connection) ?? outboxPeer(connection, vault, self.identity, limit));
    }
    known = next;
    return [...next.values()];
  };
  const outbox = openOutbox({ clock, log, receipts, ownBackups });
  epochs.whenNewer(({ identity }) => {
    for (const { peer } of known.keys()) if (peer.identity === identity) outbox.kick(peer.name);
  });
  return {
    outbox,
    upload,
    connections: () => [...known.keys()],
    async follow() {
      limit.refresh();
      await outbox.follow(currentPeers());
    },
    async stop() {
      await outbox.stop();
      pool.close();
    },
  };
}
