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
});
