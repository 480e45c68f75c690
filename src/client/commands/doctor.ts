import { printable } from '../../mesh/terms/clean-text.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Check, error, type Finding } from '../doctor/finding.js';
import { gatherFacts } from '../doctor/gather.js';
import {
  checkClock,
  checkConfiguration,
  checkDisk,
  checkFiles,
  checkKeys,
  checkNodeVersion,
  checkRestores,
  checkTcp,
} from '../doctor/machine-checks.js';
import { checkBackups, checkKit, checkNode, checkRuns } from '../doctor/mesh-checks.js';
import { checkPeers } from '../doctor/peer-checks.js';
import type { Look } from '../render/look.js';
import { type Cell, renderTable } from '../render/table.js';
import type { Context, ExitCode } from '../session/context.js';

/** What is checked, in the order in which it is shown. */
const checks: Readonly<Record<string, Check>> = {
  configuration: checkConfiguration,
  keys: checkKeys,
  files: checkFiles,
  clock: checkClock,
  disk: checkDisk,
  node: checkNode,
  runs: checkRuns,
  peers: checkPeers,
  backups: checkBackups,
  kit: checkKit,
  restores: checkRestores,
  'node.js': checkNodeVersion,
  tcp: checkTcp,
};

interface Checked {
  readonly name: string;
  /** Null where it could not be checked. */
  readonly findings: readonly Finding[] | null;
}

/** Examines this server and its peers. 1 when something is wrong, 3 when something may soon be, 0 when all is well. */
export async function examine(context: Context): Promise<ExitCode> {
  const results = await checkAll(context);
  const findings = results.flatMap((result) => result.findings ?? []);
  const worst = (['error', 'warning'] as const).find((severity) =>
    findings.some((finding) => finding.severity === severity),
  );
  context.screen.result(
    {
      verdict: worst ?? 'well',
      checks: results.map(({ name, findings: found }) => ({ check: name, ok: found && found.length === 0 })),
      findings: results.flatMap(({ name, findings: found }) =>
        (found ?? []).map((finding) => ({ check: name, ...finding })),
      ),
    },
    (look) => textOf(results, look),
  );
  return worst === undefined ? 0 : worst === 'error' ? 1 : 3;
}

async function checkAll(context: Context): Promise<readonly Checked[]> {
  try {
    const facts = await gatherFacts(context);
    return Object.entries(checks).map(([name, check]) => ({ name, findings: check(facts) }));
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.kind !== 'config') throw failure;
    const why = 'Without a configuration that is right, neither the node nor anything else works here.';
    const mend = failure.hint ?? 'anemone-peer config validate';
    const problems = failure.message.split('\n');
    return [{ name: 'configuration', findings: problems.map((problem) => error(problem, why, mend)) }];
  }
}

function textOf(results: readonly Checked[], look: Look): string {
  const dress = { error: look.bad, warning: look.warning, advice: look.dim };
  const rows = results.flatMap(({ name, findings }): Cell[][] => {
    if (findings === null) return [[name, { text: 'not checked', dress: look.dim }, '']];
    if (findings.length === 0) return [[name, { text: 'ok', dress: look.good }, '']];
    return findings.map(({ severity, problem }) => [name, { text: severity, dress: dress[severity] }, problem]);
  });
  const details = results
    .flatMap(({ findings }) => findings ?? [])
    .map(({ problem, why, mend }) => `${look.bold(printable(problem))}\n  ${why}\n  -> ${printable(mend)}`);
  const table = renderTable(look, ['CHECK', '', ''], rows);
  return [table, ...new Set(details)].join(look.terminal ? '\n\n' : '\n');
}
