import { expect, it } from 'vitest';
import { examiner } from '../../../src/client/survey/examine.js';
import type { Survey } from '../../../src/client/survey/found.js';
import type { Holder } from '../../../src/client/survey/holders.js';
import { askAll, weigh } from '../../../src/client/survey/survey.js';
import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import type { BriefEntry, ListPage, ListQuestion } from '../../../src/mesh/peers/list-backups.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { FakeClock } from '../../support/fake-clock.js';
import { receivedAt, type StagedHolder, stagedHolder } from '../../support/holders.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';

const owner = throwawayServer('FR1');
const owners = new Map([['FR1', owner.identity]]);
const all = { owner: '', set: '' };
const day = 24 * 3600 * 1000;

const chain: VerifiedManifest[] = [];
for (let sequence = 1; sequence <= 3; sequence += 1) {
  const previous = chain.at(-1)?.digest ?? Buffer.alloc(0);
  const createdAtMs = Date.UTC(2026, 10, 1, 1) + sequence * day;
  chain.push(manifestOf(Buffer.from(`backup ${sequence}`), owner.signer, { sequence, previous, createdAtMs }));
}
const [first, second] = chain as [VerifiedManifest, VerifiedManifest];

const hex = ({ digest }: VerifiedManifest): string => digest.toString('hex');
const briefly = (manifest: VerifiedManifest): BriefEntry => ({ manifestDigest: hex(manifest), receivedAt });
const whole = (...backups: ListPage['backups']): ListPage => ({ backups, brief: [] });

/** The entry of a holder that keeps the manifest, and not the signature. */
function forged(holder: StagedHolder, manifest: VerifiedManifest) {
  return { ...holder.holding(manifest), manifest: { ...manifest.signed, signature: Buffer.alloc(64) } };
}

interface Showing {
  readonly holder: StagedHolder;
  /** The digests that it was asked for whole, question by question. */
  readonly asked: (readonly string[])[];
}

/**
 * A peer that shows entries in brief.
 * @param give what it answers when it is asked for whole ones; in general those of the manifests
 */
function showing(
  name: string,
  entries: readonly (VerifiedManifest | BriefEntry)[],
  give?: (holder: StagedHolder, signal: AbortSignal | undefined) => ListPage | Promise<ListPage>,
): Showing {
  const asked: (readonly string[])[] = [];
  const staged = stagedHolder(name);
  const manifests = entries.filter((entry): entry is VerifiedManifest => 'digest' in entry);
  const holder: StagedHolder = {
    ...staged,
    async *list({ brief, manifestDigests = [] }: ListQuestion, signal): AsyncGenerator<ListPage> {
      if (brief) {
        yield { backups: [], brief: entries.map((entry) => ('digest' in entry ? briefly(entry) : entry)) };
        return;
      }
      asked.push(manifestDigests);
      if (give !== undefined) yield give(staged, signal);
      else yield whole(...manifests.filter((one) => manifestDigests.includes(hex(one))).map(staged.holding));
    },
  };
  return { holder, asked };
}

async function survey(
  holders: readonly (Showing | Holder)[],
  options: { readonly clock?: FakeClock; readonly signal?: AbortSignal } = {},
): Promise<Survey> {
  const clock = options.clock ?? new FakeClock();
  const everyone = holders.map((each) => ('asked' in each ? each.holder : each));
  const asking = askAll(
    everyone,
    { ...all, brief: true },
    {
      clock,
      deadline: 10_000,
      examiner: examiner(owners, 'brief'),
      signal: options.signal,
    },
  );
  const answers = await (options.clock === undefined ? asking : clock.runUntil(asking));
  expect(clock.pending()).toBe(0);
  return weigh(answers, all, { now: clock.now(), owed: new Map() });
}

/** `1: FR2, US1`, `1 forged: DE1` */
function rows({ backups }: Survey): string[] {
  return backups.map(({ facts, standing, copies }) => {
    const kind = standing.kind === 'verified' ? '' : ` ${standing.kind}`;
    return `${facts.sequence}${kind}: ${copies.map(({ holder }) => holder.name).join(', ')}`;
  });
}

const told = ({ findings }: Survey) => findings.map(({ peer, kind }) => `${peer} ${kind}`);

it('asks one holder for a manifest that fifty show, and believes the others that they hold it', async () => {
  const holders = Array.from({ length: 50 }, (_, index) => showing(`P${index}`, chain));
  const found = await survey(holders);
  expect(rows(found)).toEqual([3, 2, 1].map((n) => `${n}: ${holders.map(({ holder }) => holder.name).join(', ')}`));
  expect(found.findings).toEqual([]);
  expect(found.backups.flatMap(({ copies }) => copies).every((copy) => copy.receivedAt === receivedAt)).toBe(true);
  expect(holders.flatMap(({ asked }) => asked)).toEqual([chain.map(hex)]);
});

it('takes the whole entries of a holder of an older version, and asks nobody for what these bring', async () => {
  const staged = stagedHolder('OLD');
  const old: StagedHolder = {
    ...staged,
    async *list() {
      yield whole(...chain.map(staged.holding));
    },
  };
  const fr2 = showing('FR2', chain);
  expect(rows(await survey([old, fr2]))).toEqual(['3: OLD, FR2', '2: OLD, FR2', '1: OLD, FR2']);
  expect(fr2.asked).toEqual([]);
});

it('asks for at most a thousand manifests at one time', async () => {
  const entries = Array.from({ length: 1001 }, (_, n) => ({
    manifestDigest: n.toString(16).padStart(64, '0'),
    receivedAt,
  }));
  const fr2 = showing('FR2', entries, () => whole());
  expect((await survey([fr2])).findings).toMatchObject([{ message: expect.stringMatching(/; and 998 more$/) }]);
  expect(fr2.asked.map((digests) => digests.length)).toEqual([1000, 1]);
});

it('asks the next holder for what one shows and does not give, and names that one', async () => {
  const liar = showing('DE1', [first, second], (holder) => whole(holder.holding(second)));
  const found = await survey([liar, showing('FR2', [first, second]), showing('US1', [first, second])]);
  expect(rows(found)).toEqual(['2: DE1, FR2, US1', '1: FR2, US1']);
  expect(told(found)).toContain('DE1 forged');
  expect(found.findings[0]?.message).toBe(
    `DE1 (de1.example:7443) shows a backup with the manifest ${hex(first).slice(0, 16)}…, and does not give it: removed since, or never there`,
  );
});

it('takes no other manifest for the one that was shown', async () => {
  const liar = showing('DE1', [first], (holder) =>
    whole(holder.holding(second), { manifest: undefined, receipt: undefined }),
  );
  const found = await survey([liar]);
  expect(rows(found)).toEqual([]);
  expect(found.findings).toMatchObject([
    { peer: 'DE1', kind: 'forged', message: expect.stringContaining('not give it') },
  ]);
});

it('asks everyone else when a manifest comes with a wrong signature, and names who gave it', async () => {
  const liar = showing('DE1', [first], (holder) => whole(forged(holder, first)));
  const found = await survey([liar, showing('FR2', [first]), showing('US1', [first])]);
  expect(rows(found)).toEqual(['1: FR2, US1', '1 forged: DE1']);
  expect(told(found)).toEqual(['DE1 forged']);
});

it('does not believe a manifest because many show it, when nobody gives one that its owner signed', async () => {
  const liars = ['DE1', 'DE2', 'DE3'].map((name) => showing(name, [first], (holder) => whole(forged(holder, first))));
  const found = await survey(liars);
  expect(rows(found)).toEqual(['1 forged: DE1, DE2, DE3']);
  expect(told(found)).toEqual(['DE1 forged', 'DE2 forged', 'DE3 forged']);
});

it('says what is wrong with a manifest of which nothing can be displayed', async () => {
  const odd = manifestOf(Buffer.from('x'), owner.signer, { createdAtMs: Date.UTC(2026, 10, 1) });
  const bytes = Buffer.concat([odd.signed.manifest, Buffer.from([0xff])]);
  const { manifestDigest } = await import('../../../src/mesh/manifest/manifest.js');
  const signed = { ...odd.signed, manifest: bytes };
  const entry = { manifestDigest: manifestDigest(signed).toString('hex'), receivedAt };
  const found = await survey([showing('DE1', [entry], () => whole({ manifest: signed, receipt: undefined }))]);
  expect(found.findings.map(({ message }) => message)).toEqual([
    'DE1 (de1.example:7443) shows an entry that cannot be read',
  ]);
});

it('names everyone who shows a backup whose manifest nobody gives', async () => {
  const unknown = { manifestDigest: 'ab'.repeat(32), receivedAt };
  const found = await survey([showing('DE1', [unknown]), showing('DE2', [unknown]), showing('FR2', chain)]);
  expect(rows(found)).toEqual(['3: FR2', '2: FR2', '1: FR2']);
  expect(told(found)).toEqual(['DE1 forged', 'DE2 forged']);
});

it('asks the others when a holder has answered and dies, and counts what it has said', async () => {
  const dead = showing('DE1', [first], () => {
    throw new Failure('unreachable', 'DE1: the link broke');
  });
  const found = await survey([dead, showing('FR2', [first])]);
  expect(rows(found)).toEqual(['1: DE1, FR2']);
  expect(found.findings).toEqual([]);
  expect(dead.asked).toHaveLength(1);
});

it('counts a holder that has died as silent, and accuses it of nothing, when nobody else shows what it has shown', async () => {
  const dead = showing('DE1', [first, second], () => {
    throw new Failure('unreachable', 'DE1: the link broke');
  });
  const found = await survey([dead, showing('FR2', [second])]);
  expect(rows(found)).toEqual(['2: FR2']);
  expect(found.findings).toEqual([]);
  expect(found.answers).toMatchObject([
    { holder: { name: 'DE1' }, failure: { message: 'DE1: the link broke' } },
    { holder: { name: 'FR2' }, held: [{}] },
  ]);
});

it('does not wait for ever for a holder that answers and then is silent', async () => {
  const silence = (_: StagedHolder, signal?: AbortSignal) =>
    new Promise<never>((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
  const clock = new FakeClock();
  const before = clock.monotonic();
  const found = await survey([showing('DE1', [first], silence), showing('FR2', [first])], { clock });
  expect(rows(found)).toEqual(['1: DE1, FR2']);
  expect(clock.monotonic() - before).toBeLessThan(11_000);
});

it('ends with `interrupted` when the user stops it while a manifest is asked for', async () => {
  const stop = new AbortController();
  const stopping = showing('DE1', [first], () => {
    stop.abort();
    throw new Failure('interrupted', 'DE1: interrupted');
  });
  await expect(survey([stopping], { signal: stop.signal })).rejects.toMatchObject({ kind: 'interrupted' });
});

it.each([
  ['has a time that no calendar has', 8.7e15, 'its receipt has a time that no calendar has'],
  ['says nothing of when it came', null, 'it shows no receipt'],
])('doubts a copy that %s, and nothing else', async (_what, time, doubt) => {
  const odd = showing('DE1', [{ manifestDigest: hex(first), receivedAt: time }]);
  const found = await survey([showing('FR2', [first]), odd]);
  expect(found.backups[0]?.standing.kind).toBe('verified');
  expect(found.backups[0]?.copies.map((copy) => copy.doubt)).toEqual([null, doubt]);
  expect(told(found)).toEqual(['DE1 forged']);
});

it('needs no time of the owner itself', async () => {
  const home = showing('FR1', [{ manifestDigest: hex(first), receivedAt: null }]);
  const found = await survey([showing('FR2', [first]), home]);
  expect(found.backups[0]?.copies).toMatchObject([{ receivedAt }, { receivedAt: null, doubt: null }]);
  expect(found.findings).toEqual([]);
});

it('counts a holder once that shows a backup twice', async () => {
  const found = await survey([showing('FR2', [first, first]), showing('US1', [first, first])]);
  expect(rows(found)).toEqual(['1: FR2, US1']);
});
