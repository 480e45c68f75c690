import type { RunEvent, RunReport } from '../../mesh/generated/anemone/node/v1/node.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { outcomeWord, reportDocument, reportText } from '../render/report.js';
import type { Context, ExitCode } from '../session/context.js';

/**
 * Shows a run of the own node from its first event to its report, and says how it ended as an exit code: 1 for a report
 * that failed, which then says why itself.
 * @throws Failure `failed` when the node ends the run without a report; `interrupted` by the user, which ends the run
 */
export async function followRun(
  { screen }: Pick<Context, 'screen'>,
  events: AsyncIterable<RunEvent>,
): Promise<ExitCode> {
  const progress = screen.progress();
  const sealed = new Set<string>();
  let report: RunReport | undefined;
  try {
    for await (const { event } of events) {
      if (event === undefined) continue;
      if (event.$case === 'report') report = event.value;
      else screen.event({ event: event.$case, ...event.value });
      if (event.$case === 'seal') {
        const { set, bytes, backup } = event.value;
        if (backup === '') progress.update(`set ${set}`, bytes, 0);
        else {
          sealed.add(backup);
          progress.finish(`set ${set}`, `sealed ${formatByteSize(bytes)} into ${backup}`);
        }
      }
      if (event.$case === 'delivery') {
        const { peer, bytes, total } = event.value;
        progress.update(peer, bytes, total);
      }
    }
  } catch (thrown) {
    const failure = Failure.from(thrown);
    throw failure.kind === 'interrupted' ? ended(sealed, failure) : failure;
  } finally {
    progress.end();
  }
  if (report === undefined) {
    throw new Failure('failed', 'the node ended the run without a report', { hint: 'Its log says more.' });
  }
  return conclude(screen, report);
}

/** Whoever hangs up ends the run. What it has sealed stays, and is owed to the peers like that of any other run. */
function ended(sealed: ReadonlySet<string>, cause: Failure): Failure {
  const names = sealed.size === 0 ? '' : ` (${[...sealed].join(', ')})`;
  return new Failure('interrupted', 'the run was interrupted, and the node ends it', {
    cause,
    hint:
      `The node keeps what it had sealed${names}, and delivers that by itself; ` +
      '`anemone-peer status` tells what is owed.',
  });
}

function conclude(screen: Context['screen'], report: RunReport): ExitCode {
  if (screen.json) screen.event({ event: 'report', ...reportDocument(report) });
  else screen.result(null, (look) => reportText(report, look));
  return ({ done: 0, unchanged: 0, partly: 3, failed: 1 } as const)[outcomeWord(report.outcome)];
}
