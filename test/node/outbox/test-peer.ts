import type { Identity } from '../../../src/mesh/identity/identity.js';
import type { ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { type Hostname, parseHostname } from '../../../src/mesh/terms/hostname.js';
import type { OutboxPeer } from '../../../src/node/outbox/deliver.js';
import type { OwnBackup } from '../../../src/node/outbox/owed.js';
import { throwawayServer } from '../../support/identities.js';

/** A peer of the mesh that takes backups, unless a test says otherwise. */
export class TestPeer implements OutboxPeer {
  readonly taken: string[] = [];
  tries = 0;
  /** Instead of taking the backup. */
  instead: ((backup: OwnBackup, signal: AbortSignal) => Promise<void>) | undefined;
  readonly name: Hostname;
  readonly identity: Identity;
  /** Bytes of each backup that it has before. */
  had = 0;
  /** What becomes of a delivery once its offer was answered. */
  afterAnswer: (() => Promise<never>) | undefined;
  readonly #server: ServerIdentity;

  constructor(name: string) {
    this.#server = throwawayServer(name);
    this.name = parseHostname(name);
    this.identity = this.#server.identity;
  }

  async push(backup: OwnBackup, options: Parameters<OutboxPeer['push']>[1]) {
    this.tries += 1;
    await this.instead?.(backup, options.signal);
    options.progress(this.had);
    await this.afterAnswer?.();
    options.progress(backup.size);
    this.taken.push(backup.name);
    return signReceipt({ manifestDigest: backup.digest, receivedAt: 1_795_000_000_000 }, this.#server.signer);
  }
}
