import { expect, it } from 'vitest';
import { heldBy } from '../../../src/client/survey/held-by.js';
import { stagedHolder, surveyOf } from '../../support/holders.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';

const owner = throwawayServer('FR1');
const backup = manifestOf(Buffer.from('x'), owner.signer);
const entry = { manifest: backup.signed, receipt: undefined };

/** The words where so many hold the backup, others show it without a receipt, and others lack it. */
function words(holding: number, { unproven = 0, lacking = 0 } = {}): string | undefined {
  const holders = Array.from({ length: holding + unproven + lacking }, (_, index) => stagedHolder(`P${index + 1}`));
  const answers = holders.map((holder, index) => {
    if (index < holding) return holder.answer(holder.holding(backup));
    return index < holding + unproven ? holder.answer(entry) : holder.answer();
  });
  const found = surveyOf(answers, { owner: '', set: '' }, new Map([['FR1', owner.identity]]));
  return found.backups.map(({ copies }) => heldBy(copies, found))[0];
}

it('names up to four who hold a backup, and who does not prove it', () => {
  expect(words(2, { unproven: 1, lacking: 20 })).toBe('P1, P2, P3 (unproven)');
  expect(words(4)).toBe('P1, P2, P3, P4');
});

it('says of more who lacks it, where those are few, as one does that does not prove it', () => {
  expect(words(24)).toBe('all 24');
  expect(words(22, { lacking: 2 })).toBe('all but P23, P24');
  expect(words(22, { unproven: 1, lacking: 1 })).toBe('all but P23 (unproven), P24');
  expect(words(11, { lacking: 13 })).toBe('P1, P2, P3 and 8 others');
});
