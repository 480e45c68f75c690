import { describe, expect, it } from 'vitest';
import { examiner } from '../../../src/client/survey/examine.js';
import type { Survey } from '../../../src/client/survey/found.js';
import { askAll } from '../../../src/client/survey/survey.js';
import type { KeepRules } from '../../../src/mesh/config/config.js';
import { Manifest } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { signManifest, type VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import type { ListPage } from '../../../src/mesh/peers/list-backups.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { type Dated, expire } from '../../../src/node/retention/expire.js';
import { FakeClock } from '../../support/fake-clock.js';
import { flipped } from '../../support/flip-bit.js';
import { receivedAt, stagedHolder, surveyOf } from '../../support/holders.js';
import { throwawayServer } from '../../support/identities.js';
import { factsAbout, manifestOf } from '../../support/manifests.js';

const owner = throwawayServer('FR1');
const owners = new Map([['FR1', owner.identity]]);
const all = { owner: '', set: '' };
const fr2 = stagedHolder('FR2');
const us1 = stagedHolder('US1');
const hour = 3600 * 1000;
const day = 24 * hour;
const start = Date.UTC(2026, 10, 1, 1, 0, 0);

/** The backups number 1 to `count` of one set, a day apart, each naming the one before. */
function chain(count: number, signer = owner.signer, salt = ''): VerifiedManifest[] {
  const made: VerifiedManifest[] = [];
  for (let sequence = 1; sequence <= count; sequence += 1) {
    made.push(
      manifestOf(Buffer.from(`${salt}backup ${sequence}`), signer, {
        sequence,
        previous: made.at(-1)?.digest ?? Buffer.alloc(0),
        createdAtMs: start + sequence * day,
      }),
    );
  }
  return made;
}

function pick<T>(list: readonly T[], ...numbers: readonly number[]): T[] {
  return numbers.map((number) => {
    const found = list[number - 1];
    if (found === undefined) throw new Error(`there is no number ${number}`);
    return found;
  });
}

const kinds = ({ findings }: Survey) => findings.map(({ peer, kind }) => `${peer} ${kind}`);

describe('merging what everyone answered', () => {
  it('gives one entry a backup, newest first, with everyone who holds it and when they received it', () => {
    const [first, second] = pick(chain(2), 1, 2);
    const survey = surveyOf(
      [
        fr2.answer(fr2.holding(first as VerifiedManifest), fr2.holding(second as VerifiedManifest)),
        us1.answer(us1.holding(second as VerifiedManifest)),
      ],
      all,
      owners,
    );
    expect(survey.backups.map(({ facts }) => facts.sequence)).toEqual([2, 1]);
    expect(survey.backups.map(({ copies }) => copies.map(({ holder }) => holder.name))).toEqual([
      ['FR2', 'US1'],
      ['FR2'],
    ]);
    expect(survey.backups.every(({ standing }) => standing.kind === 'verified')).toBe(true);
    expect(survey.backups[0]?.copies[0]).toMatchObject({ receivedAt, doubt: null });
  });

  it('counts a holder once that shows the same backup twice', () => {
    const [backup] = chain(1);
    const entry = fr2.holding(backup as VerifiedManifest);
    expect(surveyOf([fr2.answer(entry, entry)], all, owners).backups[0]?.copies).toHaveLength(1);
  });

  it('leaves out what was not asked for', () => {
    const backup = manifestOf(Buffer.from('x'), owner.signer, { set: 'db' });
    const answers = [fr2.answer(fr2.holding(backup))];
    expect(surveyOf(answers, { owner: '', set: 'backup' }, owners).backups).toEqual([]);
    expect(surveyOf(answers, { owner: 'FR9', set: '' }, owners).backups).toEqual([]);
    expect(surveyOf(answers, { owner: 'FR1', set: 'db' }, owners).backups).toHaveLength(1);
  });

  it('shows the backup of an owner that is not known here as not verifiable, and accuses nobody', () => {
    const stranger = throwawayServer('DE1');
    const backup = manifestOf(Buffer.from('x'), stranger.signer, { owner: 'DE1' });
    const { backups, findings } = surveyOf([fr2.answer(fr2.holding(backup))], all, owners);
    expect(backups[0]?.standing).toEqual({ kind: 'unknown-owner', reason: 'the identity of DE1 is not known here' });
    expect(findings).toEqual([]);
  });

  it('shows both when two different backups have one name', () => {
    const [honest] = chain(1);
    const [other] = chain(1, owner.signer, 'another ');
    const survey = surveyOf(
      [fr2.answer(fr2.holding(honest as VerifiedManifest)), us1.answer(us1.holding(other as VerifiedManifest))],
      all,
      owners,
    );
    expect(survey.backups).toHaveLength(2);
    expect(new Set(survey.backups.map(({ facts }) => facts.name)).size).toBe(1);
    expect(survey.findings.map(({ kind }) => kind)).toEqual(['conflict']);
  });
});

describe('what is not believed', () => {
  it('is a manifest that another signed in the name of the owner, and its peer is named', () => {
    const forger = throwawayServer('FR1');
    const forged = signManifest(factsAbout(Buffer.from('x'), forger.signer), forger.signer);
    const survey = surveyOf([fr2.answer({ manifest: forged, receipt: undefined })], all, owners);
    expect(survey.backups[0]?.standing).toMatchObject({ kind: 'forged' });
    expect(kinds(survey)).toEqual(['FR2 forged']);
    expect(survey.findings[0]?.message).toContain('FR2 (fr2.example:7443) shows anemone-backup-FR1-');
  });

  it('is a manifest with one flipped bit, while the true one from another peer stays verified', () => {
    const [backup] = chain(1);
    const { signed } = backup as VerifiedManifest;
    const signature = flipped(signed.signature, 0);
    const survey = surveyOf(
      [
        fr2.answer({ manifest: { ...signed, signature }, receipt: undefined }),
        us1.answer(us1.holding(backup as VerifiedManifest)),
      ],
      all,
      owners,
    );
    expect(survey.backups.map(({ standing, copies }) => [standing.kind, copies[0]?.holder.name])).toEqual([
      ['verified', 'US1'],
      ['forged', 'FR2'],
    ]);
  });

  it.each([
    ['no manifest', { manifest: undefined, receipt: undefined }],
    [
      'bytes that are no manifest',
      {
        manifest: { manifest: Buffer.from([255, 1, 2]), signature: Buffer.alloc(64), certificate: Buffer.alloc(1) },
        receipt: undefined,
      },
    ],
    [
      'a name that is a path',
      {
        manifest: {
          manifest: Manifest.encode({
            ...factsAbout(Buffer.from('x'), owner.signer),
            name: '../../etc/passwd',
          }).finish(),
          signature: Buffer.alloc(64),
          certificate: Buffer.alloc(1),
        },
        receipt: undefined,
      },
    ],
    [
      'a time beyond all calendars',
      {
        manifest: {
          manifest: Manifest.encode({ ...factsAbout(Buffer.from('x'), owner.signer), createdAtMs: 8.7e15 }).finish(),
          signature: Buffer.alloc(64),
          certificate: Buffer.alloc(1),
        },
        receipt: undefined,
      },
    ],
  ])('is an entry with %s: it is a finding and no backup', (_what, held) => {
    const survey = surveyOf([fr2.answer(held)], all, owners);
    expect(survey.backups).toEqual([]);
    expect(kinds(survey)).toEqual(['FR2 forged']);
  });

  it.each([
    [
      'forged',
      { manifest: undefined, receipt: undefined },
      null,
      /^FR2 .* shows (an entry without a manifest; ){3}and 197 more$/,
    ],
    [
      'unproven',
      undefined,
      'FR1',
      /^FR2 .* does not prove that it holds (anemone-backup-FR1-\S+ \(it shows no receipt\); ){3}and 197 more$/,
    ],
  ])('is told once of a peer that shows it hundreds of times: %s', (_what, entry, of, message) => {
    const copies = Array.from({ length: 200 }, (_, index) => {
      if (entry !== undefined) return entry;
      const { manifest } = fr2.holding(
        manifestOf(Buffer.from('x'), owner.signer, { createdAtMs: start + index * 1000 }),
      );
      return { manifest, receipt: undefined };
    });
    const { findings } = surveyOf([fr2.answer(...copies)], all, owners);
    expect(findings.filter(({ kind }) => kind === 'forged')).toEqual([
      { peer: 'FR2', owner: of, kind: 'forged', message: expect.stringMatching(message) },
    ]);
  });

  it('is a receipt of another holder: the backup stays verified, the copy is unproven', () => {
    const [backup] = chain(1);
    const survey = surveyOf([fr2.answer(us1.holding(backup as VerifiedManifest))], all, owners);
    expect(survey.backups[0]?.standing.kind).toBe('verified');
    expect(survey.backups[0]?.copies[0]).toMatchObject({
      receivedAt: null,
      doubt: expect.stringContaining('another holder'),
    });
    expect(kinds(survey)).toEqual(['FR2 forged']);
  });

  it('is a peer that shows no receipt; the owner itself needs none', () => {
    const [backup] = chain(1);
    const entry = { manifest: (backup as VerifiedManifest).signed, receipt: undefined };
    const home = stagedHolder('FR1');
    const survey = surveyOf([home.answer(entry), fr2.answer(entry)], all, owners);
    expect(survey.backups[0]?.copies.map(({ doubt }) => doubt)).toEqual([null, 'it shows no receipt']);
  });
});

describe('a manifest that several peers show', () => {
  it('is one backup, however many show it', () => {
    const [backup] = chain(1) as [VerifiedManifest];
    const answers = Array.from({ length: 50 }, (_, index) => stagedHolder(`P${index}`)).map((holder) =>
      holder.answer(holder.holding(backup)),
    );
    const { backups } = surveyOf(answers, all, owners);
    expect(backups).toHaveLength(1);
    expect(backups[0]?.copies).toHaveLength(50);
    expect(backups[0]?.standing.kind).toBe('verified');
  });

  it.each(['manifest', 'certificate', 'signature'] as const)(
    'is not believed of a peer that shows it with another %s, whoever answers first',
    (part) => {
      const [backup] = chain(1) as [VerifiedManifest];
      // The last byte is in the SHA-256 of the manifest or in a signature: what stands around it can still be read.
      const bytes = flipped(backup.signed[part], -1);
      const honest = us1.answer(us1.holding(backup));
      const forger = fr2.answer({ manifest: { ...backup.signed, [part]: bytes }, receipt: undefined });
      for (const answers of [
        [honest, forger],
        [forger, honest],
      ]) {
        const survey = surveyOf(answers, all, owners);
        expect(
          survey.backups.map(({ standing, copies }) => [standing.kind, ...copies.map((c) => c.holder.name)]),
        ).toEqual([
          ['verified', 'US1'],
          ['forged', 'FR2'],
        ]);
        expect(kinds(survey)).toEqual(['FR2 forged']);
      }
    },
  );
});

describe('a receipt whose signature is wrong', () => {
  const [backup] = chain(1) as [VerifiedManifest];
  const { manifest, receipt } = fr2.holding(backup);
  const signature = flipped(receipt?.signature ?? Buffer.alloc(0), 0);
  const answers = [
    fr2.answer({
      manifest,
      receipt: { receipt: Buffer.alloc(0), certificate: Buffer.alloc(0), ...receipt, signature },
    }),
  ];

  it('is taken as the word of the peer that shows it, in a list', () => {
    expect(surveyOf(answers, all, owners, 'read').backups[0]?.copies[0]).toMatchObject({ receivedAt, doubt: null });
  });

  it('is found where receipts are proven, and its peer is named', () => {
    const survey = surveyOf(answers, all, owners, 'prove');
    expect(survey.backups[0]?.copies[0]?.doubt).toContain('the signature of the receipt does not match');
    expect(kinds(survey)).toEqual(['FR2 forged']);
  });
});

it.each([{ owner: 'DE1' }, { set: 'db' }])('shows nothing of a backup that has the name of another: %j', (other) => {
  const { name } = factsAbout(Buffer.from('x'), owner.signer);
  const manifest = signManifest(factsAbout(Buffer.from('x'), owner.signer, { ...other, name }), owner.signer);
  const survey = surveyOf([fr2.answer({ manifest, receipt: undefined })], all, new Map());
  expect(survey.backups).toEqual([]);
  expect(survey.findings[0]?.message).toContain('a manifest whose name is of another backup');
});

describe('the chain of a set', () => {
  const made = chain(12);
  const show = (holder: typeof fr2, ...numbers: number[]) =>
    holder.answer(...pick(made, ...numbers).map((manifest) => holder.holding(manifest)));
  const everything = show(us1, ...made.map((_, index) => index + 1));

  it('gives no findings when everyone shows the same end, also where older ones have expired', () => {
    expect(surveyOf([show(fr2, 1, 8, 9, 10, 11, 12), show(us1, 9, 10, 11, 12)], all, owners).findings).toEqual([]);
  });

  it('names the peer that shows an older end than another, and who has the newer one', () => {
    const survey = surveyOf([show(fr2, 9, 10), show(us1, 9, 10, 11, 12)], all, owners);
    expect(kinds(survey)).toEqual(['FR2 behind']);
    expect(survey.findings[0]?.message).toContain('number 10, while number 12 is on US1');
  });

  it('names three of those who have the newer one where there are more than four, and counts the others', () => {
    const ahead = Array.from({ length: 23 }, (_, index) => show(stagedHolder(`P${index + 1}`), 9, 10, 11, 12));
    const { findings } = surveyOf([show(fr2, 9, 10), ...ahead], all, owners);
    expect(findings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/while number 12 is on P1, P2, P3 and 20 others$/),
    ]);
  });

  it('tells once of a peer, and calmly, what this server still owes it, at the end or in between, and accuses it of the rest', () => {
    const problem = { kind: 'no-space', message: 'FR2 has no room', hint: '' };
    const owing = (...numbers: number[]) =>
      new Map([['FR2', { backups: new Set(pick(made, ...numbers).map(({ facts }) => facts.name)), problem }]]);
    const told = (...numbers: number[]) =>
      surveyOf([show(fr2, 8, 9, 11), everything], all, owners, 'read', 0, owing(...numbers)).findings;
    expect(told(10, 12)).toEqual([
      { peer: 'FR2', owner: 'FR1', kind: 'owed', message: 'FR2 lacks 2 backups of FR1 so far: FR2 has no room' },
    ]);
    expect(told(12).map(({ kind }) => kind)).toEqual(['gap', 'owed']);
    expect(told(10).map(({ kind }) => kind)).toEqual(['behind', 'owed']);
    expect(told(1, 11).map(({ kind }) => kind)).toEqual(['behind', 'gap', 'owed']);
  });

  it.each([
    [30, 6],
    [7, 7],
    [4, 10],
    [undefined, 7],
  ])(
    'names the peer that leaves out recent ones in between, which it says that it keeps for %s days: from number %i on',
    (peers, from) => {
      const minimumDays = peers === undefined ? undefined : { local: 0, peers };
      const survey = surveyOf([{ ...show(fr2, 1, 12), minimumDays }, everything], all, owners);
      expect(kinds(survey)).toEqual(['FR2 gap']);
      const message = survey.findings[0]?.message ?? '';
      const named = made.filter(({ facts }) => message.includes(`${facts.name} (on US1)`));
      expect(named).toEqual(made.slice(from - 1, 11));
    },
  );

  it('holds a server to one word for its own backups, and to another one for those of its peers', () => {
    const asked = [stagedHolder('FR1'), fr2].flatMap((holder) =>
      [
        { local: 7, peers: 0 },
        { local: 0, peers: 7 },
      ].map((minimumDays) => surveyOf([{ ...show(holder, 1, 11, 12), minimumDays }, everything], all, owners)),
    );
    expect(asked.map(kinds)).toEqual([['FR1 gap'], [], [], ['FR2 gap']]);
  });

  const none = { keepLast: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, minimumDays: 0 };
  /** What a peer with these rules shows, which each night took a backup, ten hours late, and went on without new ones. */
  const keptBy = (rules: KeepRules, nightsAfter: number) => {
    let held: Dated[] = [];
    for (let night = 1; night <= made.length + nightsAfter; night += 1) {
      const facts = made[night - 1]?.facts;
      const now = start + night * day + 10 * hour;
      if (facts !== undefined) held.push({ ...facts, createdAt: facts.createdAtMs, time: now - 60_000 });
      const { keep } = expire(held, rules, now);
      held = held.filter(({ name }) => keep.some((kept) => kept.name === name));
    }
    const minimumDays = { local: 30, peers: rules.minimumDays };
    return { ...show(fr2, ...held.map(({ sequence }) => sequence)), minimumDays };
  };

  it.each<[KeepRules, number]>([
    [{ ...none, keepLast: 2, keepWeekly: 3 }, 0],
    [{ ...none, keepLast: 1, keepWeekly: 4, minimumDays: 1 }, 0],
    [{ ...none, keepLast: 1, keepWeekly: 4, minimumDays: 4 }, 0],
    [none, 0],
    [{ ...none, keepLast: 2, keepWeekly: 3, minimumDays: 7 }, 3],
    [{ ...none, keepLast: 2, keepWeekly: 3, minimumDays: 7 }, 30],
  ])('accuses no peer of what its own retention removed: %j, %s days after the newest', (rules, nightsAfter) => {
    const answer = keptBy(rules, nightsAfter);
    expect(answer.held.length).toBeLessThan(made.length);
    const now = start + (made.length + nightsAfter) * day + 11 * hour;
    expect(surveyOf([answer, everything], all, owners, 'read', now).findings).toEqual([]);
  });

  it('does not call an expired one between older ones a gap', () => {
    expect(surveyOf([show(fr2, 1, 3, 11, 12), show(us1, 1, 2, 3, 11, 12)], all, owners).findings).toEqual([]);
  });

  it('names who shows a backup that does not follow the one before it', () => {
    const [, second] = chain(2, owner.signer, 'another ');
    const survey = surveyOf([show(fr2, 1), us1.answer(us1.holding(second as VerifiedManifest))], all, owners);
    expect(kinds(survey)).toContain('US1 conflict');
  });
});

describe('asking everyone at once', () => {
  const options = (clock: FakeClock, signal?: AbortSignal) => ({
    clock,
    deadline: 10_000,
    examiner: examiner(owners, 'read'),
    signal,
  });

  it('gives the others their say when one is dead and one never ends', async () => {
    const clock = new FakeClock();
    const first = fr2.holding(chain(1)[0] as VerifiedManifest);
    const dead = {
      ...stagedHolder('FR3'),
      // biome-ignore lint/correctness/useYield: it has nothing to give
      async *list(): AsyncGenerator<never> {
        throw new Failure('unreachable', 'FR3: nobody there');
      },
    };
    const slow = {
      ...stagedHolder('FR4'),
      async *list(_: unknown, signal?: AbortSignal): AsyncGenerator<ListPage> {
        yield { backups: [first], brief: [] };
        await new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
      },
    };
    const asking = askAll([dead, slow, fr2], all, options(clock));
    await clock.advance(10_000);
    const answers = await asking;
    expect(answers.map((answer) => ('held' in answer ? 'held' : answer.failure.kind))).toEqual([
      'unreachable',
      'timeout',
      'held',
    ]);
    expect(clock.pending()).toBe(0);
  });

  it('ends with `interrupted` when the user stops it', async () => {
    const stop = new AbortController();
    stop.abort();
    await expect(askAll([fr2], all, options(new FakeClock(), stop.signal))).rejects.toMatchObject({
      kind: 'interrupted',
    });
  });
});
