import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/mesh/config/load.js';
import { Failure } from '../../../src/mesh/terms/failure.js';

const folder = join(import.meta.dirname, '../../configs/invalid');
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

/** Each file begins with `# expect: LINE: TEXT`, once for every error that it has. */
function expectations(file: string): { line: number; text: string }[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const found = lines.map((line) => /^# expect: (\d+): (.+)$/.exec(line)).filter((match) => match !== null);
  return found.map(([, line, text]) => ({ line: Number(line), text: text ?? '' }));
}

describe('a wrong configuration', () => {
  it('has many examples', () => {
    expect(files.length).toBeGreaterThanOrEqual(30);
  });

  it.each(files)('%s is refused with exactly the errors it has, each with its line', async (name) => {
    const file = join(folder, name);
    const failure: unknown = await loadConfig(file).catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(Failure);
    const { kind, message, hint } = failure as Failure;
    expect(kind).toBe('config');
    expect(hint).toBeDefined();
    const expected = expectations(file);
    expect(expected.length).toBeGreaterThan(0);
    const lines = message.split('\n');
    expect(lines, message).toHaveLength(expected.length);
    for (const [index, { line, text }] of expected.entries()) {
      expect(lines[index]?.startsWith(`${file}:${line}: `), lines[index]).toBe(true);
      expect(lines[index]).toContain(text);
    }
  });
});
