import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/mesh/config/load.js';
import { parseKit } from '../../../src/mesh/kit/parse-kit.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import type { NightSet } from '../../../src/node/run/keep-set.js';
import { nightSetsOf, setsOf } from '../../../src/node/run/night-sets.js';
import { throwawayServer } from '../../support/identities.js';

const { signer, identity } = throwawayServer();
const { config } = parseConfig(
  '/srv/config.yaml',
  `server: { name: FR1, listen: 10.8.0.1 }
backup:
  sets: { backup: { paths: [x] }, db: { command: [pg_dump] } }
  encryption: { recipients: [age17y46w907m7fqf6ek78zsa29z87e8pkwe6zlejkluja9nztla3v0scrv8jk] }
vpn: { config: [] }`,
);
const names = (only: string) => setsOf(config, only, signer).map(({ name }) => name);

async function read(set: NightSet | undefined): Promise<Buffer> {
  const context = { signal: new AbortController().signal, clock: systemClock, warn() {}, remark() {}, reading() {} };
  return set === undefined ? Buffer.alloc(0) : buffer(set.read(context));
}

describe('the sets of a run', () => {
  it('are those of the configuration, and the kit at the end', () => {
    expect(names('')).toEqual(['backup', 'db', 'kit']);
  });

  it('are the one that was asked for, which may be the kit', () => {
    expect(names('db')).toEqual(['db']);
    expect(names('kit')).toEqual(['kit']);
  });

  it('of a scheduled night are none on a server that only keeps the backups of others', () => {
    const keeper = { ...config, backup: { ...config.backup, sets: [] } };
    expect(nightSetsOf(keeper, signer)).toEqual([]);
    expect(nightSetsOf(config, signer).map(({ name }) => name)).toEqual(['backup', 'db', 'kit']);
  });

  it('are refused when there is no such set, or none at all', () => {
    expect(() => names('other')).toThrow('there is no set other');
    const nothing = { ...config, backup: { ...config.backup, sets: [] } };
    expect(() => setsOf(nothing, '', signer)).toThrow('nothing is backed up');
  });

  it('have a kit of the same bytes for as long as nothing changes, also where the mode is `always`', async () => {
    const [kit] = setsOf(config, 'kit', signer);
    expect(kit?.incremental).toBe(true);
    const bytes = await read(kit);
    expect(parseKit(bytes, 'the kit').kit.identity).toBe(identity);
    expect(await read(kit)).toEqual(bytes);
  });
});
