import { describe, expect, it } from 'vitest';
import { makeLook } from '../../../src/client/render/look.js';
import { reportText } from '../../../src/client/render/report.js';
import { Outcome, RunReport } from '../../../src/mesh/generated/anemone/node/v1/node.js';

describe('the report of a run', () => {
  it('counts what each peer proved, and what its retention has removed', () => {
    const peer = (name: string, proven: string[], gone: string[]) => ({ peer: name, proven, lost: [], gone, bytes: 0 });
    const peers = [peer('FR2', ['a', 'b'], ['c']), peer('US1', [], []), peer('DE1', ['a'], [])];
    const report = RunReport.fromPartial({ outcome: Outcome.OUTCOME_DONE, audit: { peers } });
    expect(reportText(report, makeLook(false, false))).toContain(
      'Backups proven to be held: FR2 2, DE1 1.\nOlder backups that retention removed there: FR2 1.\n',
    );
  });

  it('says of a peer that gave an excuse in place of a proof that it has everything by its receipts only', () => {
    const peers = ['FR2', 'US1'].map((peer) => ({ peer, outcome: Outcome.OUTCOME_UNCHANGED }));
    const problem = { kind: 'unreachable', message: 'US1: no connection', hint: '' };
    const audit = {
      peers: [
        { peer: 'FR2', proven: ['a'] },
        { peer: 'US1', problem },
      ],
    };
    const report = RunReport.fromPartial({ outcome: Outcome.OUTCOME_UNCHANGED, peers, audit });
    const lines = reportText(report, makeLook(false, false)).split('\n');
    expect(lines.slice(0, 2)).toEqual([
      'FR2\tunchanged\thas everything',
      'US1\tunchanged\thas everything by its receipts',
    ]);
    expect(lines.at(-1)).toMatch(
      /^Nothing changed, and by their receipts every peer has the last backup; US1 did not show it\. It took /,
    );
  });
});
