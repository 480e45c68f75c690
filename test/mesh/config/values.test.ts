import { describe, expect, it } from 'vitest';
import { parseDuration } from '../../../src/mesh/config/duration.js';
import { formatAddress, parseAddress } from '../../../src/mesh/terms/address.js';

describe('an address', () => {
  it.each([
    ['10.8.0.1', '10.8.0.1', 7443],
    ['10.8.0.1:80', '10.8.0.1', 80],
    ['[fd00::1]:65535', 'fd00::1', 65_535],
    ['[fd00::1]', 'fd00::1', 7443],
    ['fd00::1', 'fd00::1', 7443],
    ['fr2.example', 'fr2.example', 7443],
    ['fr2:1', 'fr2', 1],
  ])('is read from %s, and back from what is written for it', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port });
    expect(parseAddress(formatAddress({ host, port }))).toEqual({ host, port });
  });

  it.each([
    '',
    ':7443',
    '10.8.0.1:',
    '10.8.0.1:0',
    '10.8.0.1:65536',
    '10.8.0',
    '1.2.3.4.5',
    '[10.8.0.1]:1',
    'a b',
    '-a',
    'http://x',
    '10.8.0.1/24',
    '[fd00::1',
    'x'.repeat(254),
  ])('is refused: %j', (text) => {
    expect(() => parseAddress(text)).toThrow('is not an address');
  });
});

describe('a duration', () => {
  it.each([
    [0, 0],
    [90, 90],
    ['90', 90],
    ['5m', 300],
    ['2 h', 7200],
    ['1d', 86_400],
  ])('is read from %j', (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  it.each(['', '-1', '1.5h', '5 minutes', 'm', '99999999999999999999'])('is refused: %j', (text) => {
    expect(() => parseDuration(text)).toThrow('is not a duration');
  });
});
