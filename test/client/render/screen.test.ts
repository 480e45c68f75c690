import { describe, expect, it } from 'vitest';
import { makeScreen, type ScreenOptions } from '../../../src/client/render/screen.js';
import { renderTable } from '../../../src/client/render/table.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { FakeClock } from '../../support/fake-clock.js';
import { keptOutput } from '../../support/kept-output.js';

function stage(options: Partial<ScreenOptions> & { readonly terminal?: boolean } = {}) {
  const { said, ...output } = keptOutput(options);
  const clock = new FakeClock();
  const screen = makeScreen({ ...output, clock, json: false, quiet: false, verbose: false, colour: true, ...options });
  return { screen, said, clock };
}

const esc = '\x1b';
const rows = [
  ['FR2', 'ok'],
  ['US1-long', 'no answer'],
];

describe('a result', () => {
  it('is text for a person and one document for a program, and nothing else comes on standard output', () => {
    for (const json of [false, true]) {
      const { screen, said } = stage({ json, verbose: true });
      screen.note('a note');
      screen.detail('a detail');
      screen.warn('a warning');
      screen.result({ answer: 42 }, () => 'the answer is 42');
      expect(said.stdout).toBe(json ? '{"answer":42}\n' : 'the answer is 42\n');
      expect(said.stderr).toBe('a note\na detail\nwarning: a warning\n');
    }
  });

  it('is indented JSON at a terminal, where a person reads it', () => {
    const { screen, said } = stage({ json: true, terminal: true });
    screen.result({ answer: 42 }, () => '');
    expect(said.stdout).toBe('{\n  "answer": 42\n}\n');
  });

  it('cannot move the cursor as JSON either, and reads back the same', () => {
    const { screen, said } = stage({ json: true, terminal: true });
    const hostile = `${esc}[2J\x7f\x9b2J\u202e\u2028\u{e0041} é`;
    screen.event({ hostile });
    screen.failure(new Failure('failed', hostile));
    screen.result({ hostile }, () => '');
    expect(said.stdout).not.toMatch(/[^\n\P{C}]|[^ \P{Z}]/u);
    const [event, failure, ...result] = said.stdout.split('\n');
    expect(JSON.parse(event ?? '')).toEqual({ hostile });
    expect(JSON.parse(failure ?? '')).toMatchObject({ error: { message: hostile } });
    expect(JSON.parse(result.join(''))).toEqual({ hostile });
    expect(said.stdout).toContain('\\u202e\\u2028\\udb40\\udc41 é');
  });

  it('keeps notes to itself with -q, and details without -v, but never a warning', () => {
    const { screen, said } = stage({ quiet: true });
    screen.note('a note');
    screen.detail('a detail');
    screen.warn('a warning');
    expect(said.stderr).toBe('warning: a warning\n');
  });

  it('has colour on a terminal that allows it only', () => {
    const shown = (options: Parameters<typeof stage>[0]): string => {
      const { screen, said } = stage(options);
      screen.result(null, (look) => look.bad('no answer'));
      return said.stdout;
    };
    expect(shown({ terminal: true })).toContain(esc);
    expect(shown({ terminal: true, colour: false })).toBe('no answer\n');
    expect(shown({ terminal: false })).toBe('no answer\n');
  });
});

describe('a failure', () => {
  const failure = new Failure('locked', 'another run is under way', { hint: 'Wait for it.' });

  it('is told on standard error with what to do', () => {
    const { screen, said } = stage();
    screen.failure(failure);
    expect(said).toEqual({ stdout: '', stderr: 'error: another run is under way\nWait for it.\n' });
  });

  it('is also the one document of a command with --json', () => {
    const { screen, said } = stage({ json: true });
    screen.failure(failure);
    expect(JSON.parse(said.stdout)).toEqual({
      error: { kind: 'locked', message: 'another run is under way', hint: 'Wait for it.' },
    });
  });

  it('cannot move the cursor, whatever a peer wrote into it', () => {
    const { screen, said } = stage();
    screen.failure(new Failure('failed', `FR2: ${esc}[2Jgone`));
    expect(said.stderr).toBe('error: FR2: \\x1b[2Jgone\n');
  });
});

describe('a table', () => {
  const shown = (terminal: boolean): string => {
    const { screen, said } = stage({ terminal, colour: false });
    screen.result(null, (look) => renderTable(look, ['PEER', 'STATE'], rows));
    return said.stdout;
  };

  it('has aligned columns and headings on a terminal', () => {
    expect(shown(true)).toBe('PEER      STATE\nFR2       ok\nUS1-long  no answer\n');
  });

  it('is lines with tabs behind a pipe', () => {
    expect(shown(false)).toBe('FR2\tok\nUS1-long\tno answer\n');
  });

  it('keeps its columns, whatever a cell holds', () => {
    const { screen, said } = stage();
    screen.result(null, (look) => renderTable(look, ['A', 'B'], [[`a\tb\n${esc}c`, { text: 'd', dress: look.bad }]]));
    expect(said.stdout).toBe('a\\x09b\\x0a\\x1bc\td\n');
  });
});

describe('progress', () => {
  it('is not drawn for what is over within a second', async () => {
    const { screen, said, clock } = stage({ terminal: true });
    const progress = screen.progress();
    progress.update('FR2', 10, 100);
    await clock.advance(900);
    progress.end();
    expect(said.stderr).toBe('');
    expect(clock.pending()).toBe(0);
  });

  it('is a line a peer with bytes, rate and time left, redrawn in place', async () => {
    const { screen, said, clock } = stage({ terminal: true });
    const progress = screen.progress();
    for (let second = 0; second <= 4; second += 1) {
      progress.update('FR2', second * 2 ** 20, 10 * 2 ** 20);
      progress.update('US1', 0, 0);
      await clock.advance(1000);
    }
    expect(said.stderr).toContain('FR2  4.00 MiB of 10.0 MiB (40 %), 1.00 MiB/s, 6 s left\nUS1  0 B\n');
    expect(said.stderr).toContain(`${esc}[2A${esc}[0J`);
    progress.end();
    expect(said.stderr.endsWith(`${esc}[2A${esc}[0J`)).toBe(true);
    expect(clock.pending()).toBe(0);
  });

  it('makes room for a warning, and comes back', async () => {
    const { screen, said, clock } = stage({ terminal: true, colour: false });
    const progress = screen.progress();
    progress.update('FR2', 1, 100);
    await clock.advance(1500);
    said.stderr = '';
    screen.warn('a file changed');
    await clock.advance(200);
    expect(said.stderr).toMatch(
      new RegExp(`^${esc}\\[1A${esc}\\[0Jwarning: a file changed\nFR2 `.replaceAll(esc, '\\x1b')),
    );
    progress.end();
  });

  it('is plain milestones behind a pipe', async () => {
    const { screen, said, clock } = stage();
    const progress = screen.progress();
    for (let second = 0; second < 12; second += 1) {
      progress.update('FR2', second * 2 ** 20, 20 * 2 ** 20);
      await clock.advance(1000);
    }
    progress.finish('FR2', 'has it');
    progress.end();
    expect(said.stderr).toBe('FR2: 10.0 MiB of 20.0 MiB (50 %), 1.00 MiB/s, 10 s left\nFR2: has it\n');
  });

  it('is silent with -q and with --json', async () => {
    for (const option of [{ quiet: true }, { json: true }]) {
      const { screen, said, clock } = stage({ terminal: true, ...option });
      screen.progress().update('FR2', 1, 100);
      await clock.advance(5000);
      expect(said.stderr).toBe('');
    }
  });
});
