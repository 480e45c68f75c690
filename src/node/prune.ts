import type { Config } from '../mesh/config/config.js';
import type { Identity } from '../mesh/identity/identity.js';
import type { ServerIdentity } from '../mesh/identity/server-identity.js';
import { ownerIdentity } from '../mesh/peers/configured-peers.js';
import { formatByteSize } from '../mesh/terms/byte-size.js';
import type { Clock } from '../mesh/terms/clock.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import type { Log } from '../mesh/terms/log.js';
import { holdData } from './hold-data.js';
import { openHistory } from './report/history.js';
import { type Judgement, judge, type SweepResult, sweep } from './retention/sweep.js';
import { isServed } from './service/own-server.js';
import { hasCode, realDisk } from './vault/disk.js';
import type { HeldEntry } from './vault/held-entry.js';
import { layoutOf } from './vault/layout.js';
import { readInventory } from './vault/read-inventory.js';
import { openVault } from './vault/vault.js';

/** Says per owner and set what retention would remove and what stays, and by which rule. Nothing is changed. */
export async function previewPrune(config: Config, self: Identity, clock: Clock): Promise<string> {
  const { data, name: host } = config.server;
  const layout = layoutOf(data, host);
  const isNew = await realDisk.lstat(layout.local).then(
    () => false,
    (thrown) => hasCode(thrown, 'ENOENT'),
  );
  if (isNew) return `nothing is held in ${data}`;
  const inventory = await readInventory({ layout, host, disk: realDisk, identityOf: identities(config, self) }).catch(
    (cause) => {
      throw new Failure('failed', `the vault in ${data} cannot be read: ${Failure.from(cause).message}`, { cause });
    },
  );
  const judgements = judge(inventory.list({}), { ...rulesOf(config, self), now: clock.now() });
  return judgements.length === 0 ? `nothing is held in ${data}` : judgements.map(describe).join('\n\n');
}

/** This server, whose node key tells since when it is there. */
type PrunedServer = Pick<ServerIdentity, 'identity' | 'certificate'>;

/**
 * Removes now what retention does not keep, as every night does.
 * @throws Failure `locked` while a node runs: two programs must not change one vault; `failed` when the clock is in doubt
 */
export async function prune(config: Config, self: PrunedServer, clock: Clock, log: Log): Promise<SweepResult> {
  const { data, socket } = config.server;
  if (await isServed(socket)) {
    throw new Failure('locked', `a node is running on ${data}: it prunes by itself, every night`, {
      hint: 'See what it will remove with `anemone-node --prune --dry-run`.',
    });
  }
  const letOthersIn = await holdData(config.server);
  try {
    return await sweepNow(config, self, clock, log);
  } finally {
    await letOthersIn();
  }
}

async function sweepNow(config: Config, self: PrunedServer, clock: Clock, log: Log): Promise<SweepResult> {
  const { data, name: host } = config.server;
  const vault = await openVault({
    data,
    host,
    clock,
    log,
    identityOf: identities(config, self.identity),
    acknowledge() {
      throw new Failure('failed', 'nothing is received while the vault is pruned');
    },
    quotaOf: () => 0,
    minimumFree: () => 0,
  });
  try {
    const history = openHistory(vault.layout.runs, { clock, setUpAt: self.certificate.epoch });
    return await sweep({ vault, clock, history, ...rulesOf(config, self.identity) });
  } finally {
    await vault.close();
  }
}

function rulesOf(config: Config, self: Identity) {
  const { retention, backup } = config;
  return { rules: retention, timezone: backup.timezone, identityOf: identities(config, self) };
}

function identities(config: Config, self: Identity): (owner: Hostname) => Identity | null {
  return (owner) => ownerIdentity(config, self, owner);
}

function describe({ backups, verdict }: Judgement<HeldEntry>): string {
  const [first] = backups;
  const title = `${first?.owner} ${first?.set}: ${backups.length} held, ${verdict.remove.length} would go`;
  const reasons = new Map(verdict.keep.map((kept) => [kept.name, kept.reasons.join(', ')]));
  const going = new Set(verdict.remove.map(({ name }) => name));
  const lines = backups.map(({ name, size }) => {
    const why = going.has(name) ? 'no rule keeps it' : (reasons.get(name) ?? 'not signed by a peer of this server');
    return `  ${going.has(name) ? 'goes ' : 'stays'}  ${name}  ${formatByteSize(size)}  ${why}`;
  });
  return [title, ...lines].join('\n');
}
