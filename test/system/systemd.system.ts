import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const shipped = readFileSync(join(root, 'config/anemone-node.service'), 'utf8');
/** In tenths, from 0 (as locked in as can be) to 100; a unit without any protection has 96. */
const highestExposure = 20;

let folder: string;
let unit: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'anemone-systemd-'));
  unit = join(folder, 'anemone-node.service');
  // The place of the program is the only thing in it that is not on this machine.
  writeFileSync(unit, shipped.replace('/usr/local/bin/anemone-node', process.execPath));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function systemdAnalyze(...args: readonly string[]): { code: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
  if (error !== undefined) {
    throw new Error('this test needs the program systemd-analyze: apt-get install -y systemd', { cause: error });
  }
  return { code: status, output: `${stdout}${stderr}` };
}

function setting(name: string): string | undefined {
  return new RegExp(`^${name}=(.*)$`, 'm').exec(shipped)?.[1];
}

describe('the systemd unit', () => {
  it('is a unit that systemd understands in full', () => {
    expect(systemdAnalyze('verify', '--man=no', unit)).toEqual({ code: 0, output: '' });
  });

  it('exposes the machine to little of what a node could do', () => {
    const { code, output } = systemdAnalyze(
      'security',
      '--no-pager',
      '--offline=true',
      `--threshold=${highestExposure}`,
      unit,
    );
    expect(output).toContain('Overall exposure level');
    expect(code).toBe(0);
  });

  it('waits for the VPN, comes back after a failure, and never gives up', () => {
    expect(setting('After')).toBe('network-online.target wg-quick.target time-sync.target');
    expect(setting('Restart')).toBe('on-failure');
    expect(setting('StartLimitIntervalSec')).toBe('0');
  });

  it('goes on when a command of a set needs so much memory that the kernel kills it', () => {
    expect(setting('OOMPolicy')).toBe('continue');
  });
});
