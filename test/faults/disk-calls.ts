import { Failure } from '../../src/mesh/terms/failure.js';
import { keepOwn, type Story, suffer } from '../node/vault/failing-disk.js';
import type { Fault } from '../node/vault/faulty-disk.js';
import { backupOfFR2, push, servers } from '../node/vault/fixture.js';
import { manifestOf } from '../support/manifests.js';
import { bytesOf } from './random.js';
import type { Kind, Recorder } from './tally.js';

const content = bytesOf('disk calls', 200_000);
const received = backupOfFR2(content);
const own = manifestOf(content, servers.FR1.signer, { owner: 'FR1' });

const stories: Readonly<Record<string, Story>> = {
  push: { manifest: received, content, folder: 'FR2', run: (vault) => push(vault, received, content) },
  'own backup': { manifest: own, content, folder: 'local', run: (vault) => keepOwn(vault, own, content) },
};

const errors: readonly Fault[] = ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE', 'short write'];

/** Each call that the vault makes fails in turn: once, and from there on for good. */
export const diskCalls: Kind = {
  name: 'disk-calls',
  title: 'every disk call of the vault',
  async run(recorder, scale) {
    const rounds = scale === 'long' ? 10 : 1;
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, story] of Object.entries(stories)) {
        for (const error of errors) {
          const calls = await oneFault(story, error, () => false, recorder, name);
          for (let bad = 0; bad < calls; bad += 1) {
            await oneFault(story, error, (call) => call === bad, recorder, `${name}: ${error} at call ${bad}`);
            await oneFault(story, error, (call) => call >= bad, recorder, `${name}: ${error} from call ${bad} on`);
            recorder.fault(2);
          }
        }
      }
    }
  },
};

async function oneFault(
  story: Story,
  error: Fault,
  isBad: (call: number) => boolean,
  recorder: Recorder,
  what: string,
): Promise<number> {
  const { failure, calls, lost, damaged, left } = await suffer(story, error, isBad);
  if (failure === null) recorder.acknowledged();
  else if (!(failure instanceof Failure)) recorder.problem(`${what}: threw ${String(failure)}`);
  if (lost) recorder.lost(what);
  if (damaged) recorder.damaged(what);
  for (const each of left) recorder.leftover(`${what}: ${each}`);
  return calls;
}
