import { describe, expect, it } from 'vitest';
import { parseUploadLimit, uploadAt } from '../../../src/mesh/config/upload-limit.js';
import { type RateLimit, rateLimit } from '../../../src/node/outbox/rate-limit.js';
import { FakeClock } from '../../support/fake-clock.js';

const forever = new AbortController().signal;

/** A peer that sends pieces one after the other for as long as the test runs. */
function sender(limit: RateLimit, peer: string, piece: number): { sent: () => number; stop: () => void } {
  const stopping = new AbortController();
  let sent = 0;
  const run = async (): Promise<void> => {
    for (;;) {
      await limit.take(peer, piece, stopping.signal);
      sent += piece;
    }
  };
  run().catch(() => undefined);
  return { sent: () => sent, stop: () => stopping.abort() };
}

describe('the upload limit', () => {
  it('lets all pass at once when there is none', async () => {
    const limit = rateLimit(new FakeClock(), () => 0);
    for (let i = 0; i < 100; i += 1) await limit.take('FR2', 2 ** 20, forever);
  });

  it('holds the rate over time, within a piece and the burst', async () => {
    const clock = new FakeClock();
    const fr2 = sender(
      rateLimit(clock, () => 100_000),
      'FR2',
      10_000,
    );
    await clock.advance(20_000);
    expect(fr2.sent()).toBeGreaterThanOrEqual(2_000_000);
    expect(fr2.sent()).toBeLessThanOrEqual(2_000_000 + 25_000 + 10_000);
    fr2.stop();
    expect(clock.pending()).toBe(0);
  });

  it('does not save up more than a quarter of a second while nobody sends', async () => {
    const clock = new FakeClock();
    const limit = rateLimit(clock, () => 100_000);
    await clock.advance(3_600_000);
    const fr2 = sender(limit, 'FR2', 1000);
    await clock.advance(0);
    expect(fr2.sent()).toBe(25_000);
    fr2.stop();
  });

  it('is shared fairly among peers, also with one that sends over four connections', async () => {
    const clock = new FakeClock();
    const limit = rateLimit(clock, () => 100_000);
    const us1 = sender(limit, 'US1', 10_000);
    const fr2 = Array.from({ length: 4 }, () => sender(limit, 'FR2', 10_000));
    await clock.advance(20_000);
    const [a, b] = [us1.sent(), fr2.reduce((sum, connection) => sum + connection.sent(), 0)];
    expect(a + b).toBeGreaterThanOrEqual(2_000_000);
    expect(Math.abs(a - b)).toBeLessThanOrEqual(20_000);
    for (const each of [us1, ...fr2]) each.stop();
  });

  it('lets a piece through that is larger than a second allows, and then waits for it to be paid', async () => {
    const clock = new FakeClock();
    const limit = rateLimit(clock, () => 1000);
    await limit.take('FR2', 10_000, forever);
    let passed = false;
    void limit.take('FR2', 1, forever).then(() => {
      passed = true;
    });
    await clock.advance(9_700);
    expect(passed).toBe(false);
    await clock.advance(100);
    expect(passed).toBe(true);
  });

  it('follows a change while someone waits: at once when it is told, and within a second when it is not', async () => {
    const clock = new FakeClock();
    let allowed = 1;
    const limit = rateLimit(clock, () => allowed);
    await limit.take('FR2', 1000, forever);
    const waiting = limit.take('FR2', 1000, forever);
    allowed = 0;
    limit.refresh();
    await waiting;
    allowed = 1;
    const ahead = limit.take('FR2', 1000, forever);
    await clock.advance(10);
    await ahead;
    const untold = limit.take('FR2', 1000, forever);
    allowed = 0;
    await clock.advance(1000);
    await untold;
  });

  it('forgets what was sent ahead when there is no limit for a while', async () => {
    const clock = new FakeClock();
    let allowed = 1000;
    const limit = rateLimit(clock, () => allowed);
    await limit.take('FR2', 1_000_000, forever);
    allowed = 0;
    limit.refresh();
    allowed = 100_000;
    const fr2 = sender(limit, 'FR2', 1000);
    await clock.advance(10_000);
    expect(fr2.sent()).toBeGreaterThan(970_000);
    expect(fr2.sent()).toBeLessThan(1_030_000);
    fr2.stop();
  });

  it('holds a time table within 5 %, and a run in progress follows its hours', async () => {
    const clock = new FakeClock('2026-11-23T06:59:00Z');
    const table = parseUploadLimit('08:00 100KB, 08:10 off, 08:11 400KB');
    const limit = rateLimit(clock, () => uploadAt(table, 'Europe/Paris', clock.now()).rate);
    const peers = ['FR2', 'US1', 'DE1'].map((peer) => sender(limit, peer, 10_000));
    const sent = (): number => peers.reduce((sum, peer) => sum + peer.sent(), 0);
    const during = async (seconds: number): Promise<number> => {
      const before = sent();
      await clock.advance(seconds * 1000);
      return (sent() - before) / seconds;
    };
    expect(Math.abs((await during(60)) / 400_000 - 1)).toBeLessThan(0.05);
    expect(Math.abs((await during(590)) / 100_000 - 1)).toBeLessThan(0.05);
    const shares = peers.map((peer) => peer.sent());
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(20_000);
    for (const peer of peers) peer.stop();
    const ahead = limit.take('FR2', 2_000_000, forever);
    let passed = false;
    const next = limit.take('FR2', 2_000_000, forever).then(() => {
      passed = true;
    });
    await clock.advance(9500);
    await ahead;
    expect(passed).toBe(false);
    await clock.advance(1500);
    await next;
    await limit.take('FR2', 100_000_000, forever);
    expect(clock.pending()).toBe(0);
  });

  it('has small pieces while there is a limit, so that every peer hears something within its patience', () => {
    const clock = new FakeClock();
    expect(rateLimit(clock, () => 0).piece()).toBe(Number.POSITIVE_INFINITY);
    expect(rateLimit(clock, () => 100_000).piece()).toBe(65_536);
  });

  it('lets go of whoever gives up waiting, and leaves no timer', async () => {
    const clock = new FakeClock();
    const limit = rateLimit(clock, () => 1000);
    await limit.take('FR2', 100_000, forever);
    const impatient = new AbortController();
    const waiting = limit.take('FR2', 1, impatient.signal);
    impatient.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(limit.take('FR2', 1, impatient.signal)).rejects.toThrow('enough');
    expect(clock.pending()).toBe(0);
  });
});
