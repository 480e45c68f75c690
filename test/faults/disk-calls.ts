import { leafSize } from '../../src/mesh/manifest/digest-tree.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { keepOwn, type Story, suffer } from '../node/vault/failing-disk.js';
import type { Fault } from '../node/vault/faulty-disk.js';
import { backupOfFR2, damage, FR2, push, send, servers } from '../node/vault/fixture.js';
import { manifestOf } from '../support/manifests.js';
import { bytesOf, type Random, seeded } from './random.js';
import type { Kind, Recorder } from './tally.js';

const errors: readonly Fault[] = ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE', 'short write'];

/**
 * Each call that the vault makes fails in turn: once, and from there on for good. Each round has backups of other sizes, and
 * other pieces; of a push, leaves may be there before, or a copy that was damaged.
 */
export const diskCalls: Kind = {
  name: 'disk-calls',
  title: 'every disk call of the vault',
  async run(recorder, scale) {
    const random = seeded(recorder.seed);
    const rounds = scale === 'long' ? 10 : 1;
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, story] of Object.entries(storiesOf(`${recorder.seed} ${round}`, random))) {
        for (const error of errors) {
          const what = `round ${round}, ${name}: ${error}`;
          const calls = await oneFault(story, error, () => false, recorder, what);
          for (let bad = 0; bad < calls; bad += 1) {
            await oneFault(story, error, (call) => call === bad, recorder, `${what} at call ${bad}`);
            await oneFault(story, error, (call) => call >= bad, recorder, `${what} from call ${bad} on`);
            recorder.fault(2);
          }
        }
      }
    }
  },
};

function storiesOf(label: string, random: Random): Readonly<Record<string, Story>> {
  const content = bytesOf(label, random.pick([1, leafSize, leafSize + 1]) + random.below(2) * random.below(400_000));
  const received = backupOfFR2(content);
  const own = manifestOf(content, servers.FR1.signer, { owner: 'FR1' });
  const cut = random.below(content.length);
  const pushed: Story = {
    manifest: received,
    content,
    folder: 'FR2',
    run: (vault) => push(vault, received, content),
  };
  const stories: Readonly<Record<string, Story>> = {
    push: pushed,
    'push of what is begun': {
      ...pushed,
      async prepare(vault) {
        await vault.offer(FR2, received);
        if (content.length > leafSize) await send(vault, received, content, { offset: 0, length: leafSize });
      },
    },
    'push of what was damaged': {
      ...pushed,
      async prepare(vault) {
        await push(vault, received, content);
        await damage(vault, received.facts.name);
      },
    },
    'own backup': {
      manifest: own,
      content,
      folder: 'local',
      run: (vault) => keepOwn(vault, own, content.subarray(0, cut), content.subarray(cut)),
    },
  };
  return stories;
}

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
  // A copy in quarantine is a person's to look at, and to remove.
  for (const each of left) if (!each.includes('it is held again')) recorder.leftover(`${what}: ${each}`);
  return calls;
}
