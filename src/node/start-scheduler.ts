import { Failure } from '../mesh/terms/failure.js';
import type { Base } from './base.js';
import { type History, lastSuccess } from './report/history.js';
import { nightSetsOf } from './run/night-sets.js';
import type { NightlyRun } from './run/one-at-a-time.js';
import { Scheduler, timetableOf } from './schedule/scheduler.js';

/** Starts runs when they are due, from the last one that saved something, or from when the node key was made. */
export async function startScheduler(base: Base, history: History, night: NightlyRun): Promise<Scheduler> {
  const { config, self, clock, log } = base;
  // What past runs did is not worth keeping the node down for: its peers could neither push nor fetch.
  const reports = await history.reports().catch((thrown) => {
    log.warn('past runs not known', { reason: Failure.from(thrown).message });
    return [];
  });
  const names = config.backup.sets.map(({ name }) => name);
  const scheduler = new Scheduler({
    clock,
    log,
    timetable: timetableOf(config),
    lastSuccess: lastSuccess(reports, names, self.certificate.epoch),
    run: (trigger, signal) =>
      night.run({ trigger, sets: nightSetsOf(base.config, self.signer), force: false }, () => {}, signal),
    hurry: () => night.hurry('the next run was due'),
  });
  scheduler.start();
  return scheduler;
}
