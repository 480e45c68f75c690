import { describe, expect, it } from 'vitest';
import { choose, chooseAt } from '../../../../src/client/restore/choosing/choose.js';
import { signManifest } from '../../../../src/mesh/manifest/manifest.js';
import { stagedHolder, surveyOf } from '../../../support/holders.js';
import { throwawayServer } from '../../../support/identities.js';
import { factsAbout, manifestOf } from '../../../support/manifests.js';

const owner = throwawayServer('FR1');
const owners = new Map([['FR1', owner.identity]]);
const holder = stagedHolder('FR2');
const at = (day: number): number => Date.UTC(2026, 10, day, 1, 0, 0);
const previous = Buffer.alloc(32, 7);

const first = manifestOf(Buffer.from('one'), owner.signer, { createdAtMs: at(20), sequence: 1 });
const second = manifestOf(Buffer.from('two'), owner.signer, { createdAtMs: at(21), sequence: 2, previous });
/** Made after the clock of its owner was set back. */
const third = manifestOf(Buffer.from('three'), owner.signer, { createdAtMs: at(2), sequence: 3, previous });
const database = manifestOf(Buffer.from('db'), owner.signer, { createdAtMs: at(19), set: 'db' });

const found = (...manifests: (typeof first)[]) =>
  surveyOf([holder.answer(...manifests.map((manifest) => holder.holding(manifest)))], { owner: '', set: '' }, owners)
    .backups;

describe('choosing a backup', () => {
  it('by its file name, or by the beginning of the digest of the file or of the manifest', () => {
    const backups = found(first, second);
    for (const reference of [
      first.facts.name,
      Buffer.from(first.facts.sha256).toString('hex').slice(0, 8),
      Buffer.from(first.facts.sha256).toString('hex').toUpperCase(),
      first.digest.toString('hex').slice(0, 12),
    ]) {
      expect(choose(backups, reference).manifest.digest).toEqual(first.digest);
    }
  });

  it('takes the end of the chain for `latest`, whatever the clock of the owner did', () => {
    expect(choose(found(first, second, third), 'latest').manifest.facts.sequence).toBe(3);
  });

  it('takes the set that brings a server back for `latest`, and without one that which was backed up last', () => {
    const pages = manifestOf(Buffer.from('pages'), owner.signer, { createdAtMs: at(22), set: 'pages' });
    expect(choose(found(first, database, pages), 'latest').manifest.facts.set).toBe('backup');
    expect(choose(found(database, pages), 'latest').manifest.facts.set).toBe('pages');
  });

  it.each(['nothing', '', 'f', '0000000000', 'anemone-backup-FR1-20200101-000000.enc'])(
    'finds nothing for %j',
    (reference) => {
      expect(() => choose(found(first), reference)).toThrow(expect.objectContaining({ kind: 'not-found' }));
    },
  );

  it('says how many digits of a digest it takes, where they are too few', () => {
    const digits = first.digest.toString('hex').slice(0, 3);
    expect(() => choose(found(first), digits)).toThrow(
      expect.objectContaining({ kind: 'not-found', hint: 'Of a digest, give 4 digits or more.' }),
    );
  });

  it('refuses a name that two backups have, and shows how to tell them apart', () => {
    const other = manifestOf(Buffer.from('other'), owner.signer, { createdAtMs: at(20), sequence: 1 });
    expect(() => choose(found(first, other), first.facts.name)).toThrow(/fits 2 backups.*sha256/);
  });

  it('never takes one that is not verified, and says that it is there and why it is not believed', () => {
    const forger = throwawayServer('FR1');
    const forged = signManifest(factsAbout(Buffer.from('x'), forger.signer, { createdAtMs: at(22) }), forger.signer);
    const { backups } = surveyOf(
      [holder.answer({ manifest: forged, receipt: undefined }, holder.holding(first))],
      { owner: '', set: '' },
      owners,
    );
    expect(choose(backups, 'latest').manifest.digest).toEqual(first.digest);
    expect(() => choose(backups, 'anemone-backup-FR1-20261122-010000.enc')).toThrow(
      expect.objectContaining({ kind: 'untrusted', message: expect.stringContaining('FR2') }),
    );
  });
});

describe('choosing a point in time', () => {
  it('takes the newest that was made then or before', () => {
    expect(chooseAt(found(first, second), at(21)).manifest.facts.sequence).toBe(2);
    expect(chooseAt(found(first, second), at(21) - 1).manifest.facts.sequence).toBe(1);
  });

  it('finds nothing before the first', () => {
    expect(() => chooseAt(found(first), at(20) - 1)).toThrow(expect.objectContaining({ kind: 'not-found' }));
  });
});
