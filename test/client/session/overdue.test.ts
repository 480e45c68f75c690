import { describe, expect, it } from 'vitest';
import { overdueBefore } from '../../../src/client/session/overdue.js';
import { parseConfig } from '../../../src/mesh/config/load.js';

const now = Date.UTC(2026, 10, 23, 12);
const overdue = (schedule: string): number => {
  const sets = 'sets: { dump: { command: [x], sealed: true } }';
  const text = `server: { name: FR1, listen: 10.8.0.1 }\nbackup: { schedule: ${schedule}, ${sets} }\n`;
  return overdueBefore(parseConfig('/srv/config.yaml', text).config, now);
};

describe('a last run is too long ago', () => {
  it('when two were due since', () => {
    expect(overdue('"0 2 * * *", timezone: UTC')).toBe(Date.UTC(2026, 10, 22, 2));
    expect(overdue('"0 2 * * 0", timezone: Europe/Paris')).toBe(Date.UTC(2026, 10, 15, 1));
  });

  it('after a week where none is scheduled', () => {
    expect(overdue('never')).toBe(Date.UTC(2026, 10, 16, 12));
  });
});
