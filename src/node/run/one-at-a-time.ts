import { setMaxListeners } from 'node:events';
import type { RunEvent, RunReport } from '../../mesh/generated/anemone/node/v1/node.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type NightParts, type NightRequest, night } from './nightly-run.js';

export interface NightlyRun {
  /**
   * Tells the story of one {@link night}. A request hurries the run that it meets, and begins when that one has ended.
   * @throws Failure `locked` when another run is under way, and, for a request, has not read all its sets yet
   */
  run(request: NightRequest, emit: (event: RunEvent) => void, signal: AbortSignal): Promise<RunReport>;
  /**
   * Has the run under way end when it has saved its sets: what it delivers goes on by itself. One that still reads them does
   * not hear of it.
   * @param why what waits, as the reports of its peers say it
   */
  hurry(why: string): void;
  running(): boolean;
  /** Resolves when no run is under way. One goes on to its report also when whoever asked for it was hung up on. */
  over(): Promise<void>;
}

interface UnderWay {
  /** Whether nothing is saved by it any more: what is left may end early. */
  setsRead: boolean;
  readonly hurry: AbortController;
  readonly waitedFor: AbortController;
  over: Promise<unknown>;
}

/** Runs nights, one at a time. */
export function oneAtATime(parts: NightParts): NightlyRun {
  let current: UnderWay | null = null;
  const hurry = (why: string): void => {
    if (current?.setsRead) current.hurry.abort(why);
  };
  return {
    hurry,
    running: () => current !== null,
    async over() {
      while (current !== null) await current.over;
    },
    async run(request, emit, signal) {
      while (current !== null) {
        if (request.trigger !== 'request' || !current.setsRead) {
          throw new Failure('locked', 'another run is under way', {
            hint: 'Wait until it is done; `anemone-peer status` tells.',
          });
        }
        hurry('another run was asked for');
        current.waitedFor.abort();
        await current.over;
        if (signal.aborted) throw new Failure('interrupted', 'interrupted while another run was ending');
      }
      const [hurried, waitedFor] = [new AbortController(), new AbortController()];
      const mine: UnderWay = { setsRead: false, hurry: hurried, waitedFor, over: Promise.resolve() };
      // What each peer is asked and brought listens to them, and Node.js warns of more than ten.
      setMaxListeners(0, signal, hurried.signal);
      current = mine;
      const setsRead = (): void => {
        mine.setsRead = true;
      };
      const signals = { stop: signal, hurry: hurried.signal, waitedFor: waitedFor.signal, setsRead };
      const work = night(request, parts, signals, emit).finally(() => {
        current = null;
      });
      mine.over = work.catch(() => {});
      return work;
    },
  };
}
