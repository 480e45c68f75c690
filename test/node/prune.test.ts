import { rmSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Config } from '../../src/mesh/config/config.js';
import { RunReport } from '../../src/mesh/generated/anemone/node/v1/node.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { holdData } from '../../src/node/hold-data.js';
import { previewPrune, prune } from '../../src/node/prune.js';
import { openHistory } from '../../src/node/report/history.js';
import { layoutOf } from '../../src/node/vault/layout.js';
import { openVault } from '../../src/node/vault/vault.js';
import { silent, watchEvents } from '../support/events.js';
import { FakeClock } from '../support/fake-clock.js';
import { throwawayServer } from '../support/identities.js';
import { manifestOf } from '../support/manifests.js';
import { serveOwn } from '../support/own-server.js';
import { peerConfig } from '../support/peer-node.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const day = 86_400_000;
const [fr1, fr2] = [throwawayServer('FR1', Date.UTC(2026, 10, 1)), throwawayServer('FR2')];
const rules = { keepLast: 2, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, minimumDays: 1 };
const content = Buffer.from('sealed');

let data: string;
let clock: FakeClock;
let config: Config;

const open = () =>
  openVault({
    data,
    host: parseHostname('FR1'),
    clock,
    log: silent,
    identityOf: (host) => (host === 'FR1' ? fr1.identity : fr2.identity),
    acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, fr1.signer),
    quotaOf: () => 0,
    minimumFree: () => 0,
  });

beforeEach(async () => {
  data = await temporaryFolder();
  clock = new FakeClock('2026-11-01T01:00:00Z');
  const vault = await open();
  for (let nth = 1; nth <= 4; nth += 1) {
    const previous = Buffer.alloc(nth > 1 ? 32 : 0);
    const facts = { owner: 'FR2', sequence: nth, previous, createdAtMs: clock.now() };
    const manifest = manifestOf(content, fr2.signer, facts);
    await vault.offer(parseHostname('FR2'), manifest);
    const range = { offset: 0, length: content.length };
    const receiver = await vault.receive(parseHostname('FR2'), manifest.digest, range);
    await receiver.write(content);
    await receiver.finish();
    clock.jump(2 * day);
  }
  config = {
    server: { name: parseHostname('FR1'), data, socket: join(data, '.state/node.sock') },
    peers: [peerConfig('FR2', fr2)],
    retention: { local: rules, peers: rules },
    backup: { timezone: 'UTC' },
  } as unknown as Config;
});

const held = async (): Promise<string[]> => (await readdir(join(data, 'FR2'))).filter((file) => file.endsWith('.enc'));

describe('a pruning', () => {
  it('on trial shows what would go, what stays, and by which rule, and removes nothing', async () => {
    expect((await previewPrune(config, fr1.identity, clock)).split('\n')).toEqual([
      'FR2 backup: 4 held, 2 would go',
      '  stays  anemone-backup-FR2-20261107-010000.enc  6 B  newest, last',
      '  stays  anemone-backup-FR2-20261105-010000.enc  6 B  last',
      '  goes   anemone-backup-FR2-20261103-010000.enc  6 B  no rule keeps it',
      '  goes   anemone-backup-FR2-20261101-010000.enc  6 B  no rule keeps it',
    ]);
    expect(await held()).toHaveLength(4);
  });

  it('on trial says that nothing is held where no node has run yet', async () => {
    await rm(data, { recursive: true });
    await mkdir(data);
    expect(await previewPrune(config, fr1.identity, clock)).toBe(`nothing is held in ${data}`);
  });

  it('shows that backups of a server that is no peer stay', async () => {
    const shown = await previewPrune({ ...config, peers: [] }, fr1.identity, clock);
    expect(shown).toContain('4 held, 0 would go');
    expect(shown).toContain('not signed by a peer of this server');
  });

  it('removes exactly what the trial showed', async () => {
    const { removed } = await prune(config, fr1, clock, silent);
    expect([...removed].sort()).toEqual([
      'anemone-backup-FR2-20261101-010000.enc',
      'anemone-backup-FR2-20261103-010000.enc',
    ]);
    expect(await held()).toHaveLength(2);
  });

  it('tells what it removed also when something failed after it', async () => {
    const { leaves } = layoutOf(data, parseHostname('FR1'));
    const log = watchEvents();
    const breakDisk = (event: string): void => {
      if (event !== 'backup removed') return;
      rmSync(leaves, { recursive: true, force: true });
      writeFileSync(leaves, '');
    };
    const { removed, failures } = await prune(config, fr1, clock, { ...log, info: breakDisk });
    expect(removed).toHaveLength(1);
    expect(failures).not.toEqual([]);
  });

  it('is refused when the clock has jumped since the last run, as in a night', async () => {
    const { runs } = layoutOf(data, parseHostname('FR1'));
    const ran = (at: number) =>
      openHistory(runs, { clock, setUpAt: clock.now() }).append(
        RunReport.create({ startedAtMs: at, finishedAtMs: at }),
      );
    await ran(clock.now());
    clock.jump(400 * day);
    const refused = prune(config, fr1, clock, silent);
    await expect(refused).rejects.toMatchObject({ message: expect.stringContaining('the last run was 400 days ago') });
    await ran(clock.now() - 60_000);
    await expect(prune(config, fr1, clock, silent)).rejects.toMatchObject({
      message: expect.stringContaining('400 days passed between two of the last runs'),
    });
    expect(await held()).toHaveLength(4);
  });

  it('is refused where the history of past runs has vanished, as in a night', async () => {
    clock.jump(40 * day);
    await expect(prune(config, fr1, clock, silent)).rejects.toMatchObject({
      message: expect.stringContaining('no run is known that is older than 20 hours'),
    });
    expect(await held()).toHaveLength(4);
  });

  it('is refused while another program has the data folder, and a node while it is pruned', async () => {
    const letOthersIn = await holdData(config.server);
    const inTheWay = expect.stringContaining('it is still ending, or starting, or it prunes');
    const refused = { kind: 'locked', message: inTheWay, hint: expect.stringContaining('again in a moment') };
    await expect(prune(config, fr1, clock, silent)).rejects.toMatchObject(refused);
    await expect(holdData(config.server)).rejects.toMatchObject({ kind: 'locked' });
    await letOthersIn();
    expect((await prune(config, fr1, clock, silent)).removed).toHaveLength(2);
    await (await holdData(config.server))();
  });

  it('does not say that a node runs where that cannot be found out', async () => {
    const socket = join(data, 'FR2', (await held())[0] ?? '', 'node.sock');
    const refused = prune({ ...config, server: { ...config.server, socket } }, fr1, clock, silent);
    await expect(refused).rejects.toMatchObject({
      message: expect.stringContaining('cannot be found out'),
      hint: expect.stringContaining('Run this as the user of the node'),
    });
    expect(await held()).toHaveLength(4);
  });

  it('is refused while a node runs, which does it itself', async () => {
    const server = await serveOwn(config.server.socket, await open());
    try {
      await expect(prune(config, fr1, clock, silent)).rejects.toMatchObject({
        kind: 'locked',
        message: expect.stringContaining('a node is running'),
      });
      expect(await previewPrune(config, fr1.identity, clock)).toContain('2 would go');
    } finally {
      await server.close();
    }
    expect(await held()).toHaveLength(4);
  });
});
