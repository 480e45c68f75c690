import { readdir } from 'node:fs/promises';
import { Failure } from '../../src/mesh/terms/failure.js';
import type { Vault } from '../../src/node/vault/vault.js';
import { type Fault, faultyDisk } from '../node/vault/faulty-disk.js';
import { backupOfFR2, push, readAll, servers, VaultFixture } from '../node/vault/fixture.js';
import { manifestOf } from '../support/manifests.js';
import { bytesOf } from './random.js';
import type { Kind, Recorder } from './tally.js';

const content = bytesOf('disk calls', 200_000);
const received = backupOfFR2(content);
const own = manifestOf(content, servers.FR1.signer, { owner: 'FR1' });

const stories = {
  push: { manifest: received, run: (vault: Vault) => push(vault, received, content) },
  'own backup': {
    manifest: own,
    async run(vault: Vault) {
      const draft = await vault.draft();
      try {
        await draft.write(content);
        return await draft.commit(own.signed);
      } finally {
        await draft.discard();
      }
    },
  },
};

type Story = (typeof stories)[keyof typeof stories];

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
          const calls = await suffer(story, error, () => false, recorder, name);
          for (let bad = 0; bad < calls; bad += 1) {
            await suffer(story, error, (call) => call === bad, recorder, `${name}: ${error} at call ${bad}`);
            await suffer(story, error, (call) => call >= bad, recorder, `${name}: ${error} from call ${bad} on`);
            recorder.fault(2);
          }
        }
      }
    }
  },
};

async function suffer(
  story: Story,
  error: Fault,
  isBad: (call: number) => boolean,
  recorder: Recorder,
  what: string,
): Promise<number> {
  const fixture = await VaultFixture.make();
  try {
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    const start = faulty.calls.length;
    faulty.fail(error, (call) => isBad(call - start));
    const outcome = await story.run(vault).then(
      () => 'acknowledged',
      (thrown: unknown) => thrown,
    );
    const calls = faulty.calls.length - start;
    const acknowledged = outcome === 'acknowledged';
    if (acknowledged) recorder.acknowledged();
    else if (!(outcome instanceof Failure)) recorder.problem(`${what}: threw ${String(outcome)}`);
    for (const file of faulty.open) recorder.leftover(`${what}: ${file} is open`);

    const reopened = await fixture.open();
    const { name } = story.manifest.facts;
    const shown = reopened.find(name) !== null;
    const whole = shown && (await readAll(reopened, story.manifest)).equals(content);
    if (acknowledged && !whole) recorder.lost(what);
    if (shown && !whole) recorder.damaged(what);
    if (!shown) await story.run(reopened);
    for (const file of await readdir(`${fixture.data}/.incoming`)) recorder.leftover(`${what}: ${file}`);
    for (const finding of reopened.findings()) recorder.leftover(`${what}: ${finding}`);
    return calls;
  } finally {
    await fixture.remove();
  }
}
