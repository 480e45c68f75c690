import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { type LogOptions, logFileName, openLog } from '../../../src/node/log/log.js';
import { FakeClock } from '../../support/fake-clock.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let shown: string;
let clock: FakeClock;
let stderr: Writable;
beforeEach(async () => {
  folder = await temporaryFolder();
  shown = '';
  clock = new FakeClock('2026-11-23T01:00:00Z');
  stderr = new Writable({
    write(chunk, _, callback) {
      shown += String(chunk);
      callback();
    },
  });
});

const logs = (): string => join(folder, 'logs');
const open = (options: Partial<LogOptions> = {}) =>
  openLog({ folder: logs(), stderr, terminal: false, level: 'info', clock, ...options });
const fileLines = (): unknown[] =>
  readFileSync(join(logs(), logFileName), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
/** Waits for real files: until `done`, or until the test's time is over. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
}

describe('the log', () => {
  it('has one line of JSON an event, in the file and on a standard error that is no terminal', async () => {
    const log = open();
    log.info('backup accepted', { peer: 'FR2', size: 5, fresh: true, reason: undefined });
    log.error('peer unreachable');
    await log.close();
    const lines = [
      { level: 'info', time: '2026-11-23T01:00:00.000Z', event: 'backup accepted', peer: 'FR2', size: 5, fresh: true },
      { level: 'error', time: '2026-11-23T01:00:00.000Z', event: 'peer unreachable' },
    ];
    expect(fileLines()).toEqual(lines);
    expect(shown).toBe(readFileSync(join(logs(), logFileName), 'utf8'));
  });

  it('speaks to people on a terminal, still one line an event, and keeps JSON in the file', async () => {
    const log = open({ terminal: true });
    log.warn('peer unreachable', { peer: 'FR2', error: 'connection\nrefused', message: '\x1b[2J' });
    await log.close();
    const plain = stripVTControlCharacters(shown);
    expect(shown).not.toBe(plain);
    expect(plain).toMatch(/^\[2026-11-23 .*\] WARN: peer unreachable \{.*"peer":"FR2".*\}\n$/);
    expect(plain).toContain('connection\\x0arefused');
    expect(plain.match(/\n/g)).toHaveLength(1);
    expect(fileLines()).toMatchObject([{ event: 'peer unreachable', error: 'connection\\x0arefused' }]);
  });

  it('has no colour when none is wanted', async () => {
    const log = open({ terminal: true, colour: false });
    log.info('started');
    await log.close();
    expect(shown).toBe(stripVTControlCharacters(shown));
  });

  it('leaves out what is below its level', async () => {
    const log = open({ level: 'warn' });
    log.debug('one');
    log.info('two');
    log.warn('three');
    await log.close();
    expect(fileLines()).toMatchObject([{ event: 'three' }]);
  });

  it('goes on where an earlier log ended', async () => {
    for (const event of ['first', 'second']) {
      const log = open();
      log.info(event);
      await log.close();
    }
    expect(fileLines()).toMatchObject([{ event: 'first' }, { event: 'second' }]);
  });

  it('cannot be forged by text from a peer', async () => {
    const log = open();
    log.info('said\n{"level":"error"}', {
      text: 'a\r\nb\x1b[31m\u009b\u202e',
      level: 'fatal',
      time: 'never',
      event: 'x',
    });
    await log.close();
    expect(fileLines()).toEqual([
      {
        level: 'info',
        time: '2026-11-23T01:00:00.000Z',
        event: 'said\\x0a{"level":"error"}',
        text: 'a\\x0d\\x0ab\\x1b[31m\\x9b\\u202e',
        level_: 'fatal',
        time_: 'never',
        event_: 'x',
      },
    ]);
  });

  it('cuts long text, and leaves no secret in it, also where it is cut', async () => {
    const key = '7K3QZ0XM'.repeat(7).concat('7K');
    const log = open();
    log.info(`key ${key}`, {
      long: 'x'.repeat(1e6),
      at: `${'x '.repeat(985)}${key}`,
      age: `AGE-SECRET-KEY-1${'Q'.repeat(58)}`,
    });
    await log.close();
    const [line] = fileLines() as Record<string, string>[];
    expect(line?.['event']).toBe('key [secret]');
    expect(line?.['long']).toHaveLength(2000);
    expect(line?.['age']).toBe('[secret]');
    expect(shown).not.toContain('7K3QZ0XM');
  });

  it('is put aside when it has grown, and at most five old ones are kept', async () => {
    const log = open({ size: 1000 });
    for (let number = 0; number < 100; number += 1) log.info('event', { number, text: 'x'.repeat(100) });
    await log.close();
    const names = readdirSync(logs()).sort();
    expect(names).toEqual([logFileName, ...[1, 2, 3, 4, 5].map((number) => `${logFileName}.${number}`)]);
    const [first] = readFileSync(join(logs(), `${logFileName}.1`), 'utf8').split('\n');
    expect(JSON.parse(first ?? '')).toMatchObject({ event: 'event' });
    expect(statSync(join(logs(), `${logFileName}.5`)).size).toBeLessThan(1300);
  });

  it('may be read by its group, and by nobody else', async () => {
    const log = open();
    log.info('started');
    await log.close();
    expect(statSync(join(logs(), logFileName)).mode & 0o137).toBe(0);
  });
});

describe('a log whose file cannot be written', () => {
  it('goes on to standard error, says so once, and comes back by itself', async () => {
    writeFileSync(logs(), 'a file where the folder should be');
    const log = open();
    log.info('one');
    await until(() => shown.includes('log file failed'));
    log.info('two');
    await clock.advance(61_000);
    log.info('three');
    await new Promise((resolve) => setImmediate(resolve));

    rmSync(logs());
    await clock.advance(61_000);
    log.info('four');
    await until(() => shown.includes('log file works again'));
    log.info('five');
    await log.close();
    for (const event of ['one', 'two', 'three', 'four', 'five']) expect(shown).toContain(`"event":"${event}"`);
    const kept = (fileLines() as { event: string }[]).map(({ event }) => event);
    expect(kept).toEqual(expect.arrayContaining(['four', 'log file works again', 'five']));
    expect(kept).not.toContain('one');
    expect(shown.match(/log file failed/g)).toHaveLength(1);
  });

  it('survives that a full file cannot be put aside', async () => {
    mkdirSync(logs());
    mkdirSync(join(logs(), `${logFileName}.1`));
    writeFileSync(join(logs(), `${logFileName}.1`, 'in the way'), '');
    mkdirSync(join(logs(), `${logFileName}.2`));
    writeFileSync(join(logs(), `${logFileName}.2`, 'in the way'), '');
    const log = open({ size: 100 });
    for (let number = 0; number < 10; number += 1) log.info('event', { number });
    await log.close();
    expect(shown.match(/"event":"event"/g)).toHaveLength(10);
  });
});

describe('a log whose standard error is closed', () => {
  it('goes on in the file', async () => {
    const closed = new Writable({
      write(_chunk, _encoding, callback) {
        callback(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    const log = open({ stderr: closed });
    log.info('one');
    await new Promise((resolve) => setImmediate(resolve));
    log.info('two');
    await log.close();
    expect(fileLines()).toMatchObject([{ event: 'one' }, { event: 'two' }]);
  });
});
