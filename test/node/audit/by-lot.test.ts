import { describe, expect, it } from 'vitest';
import { byLot } from '../../../src/node/audit/by-lot.js';

describe('the order in which peers are asked', () => {
  it('begins with each of them as the lot says, and has all of them', () => {
    const orders = [0, 1, 2].map((drawn) => byLot(['FR2', 'US1', 'DE1'], () => drawn).join(' '));
    expect(orders).toEqual(['FR2 US1 DE1', 'US1 DE1 FR2', 'DE1 FR2 US1']);
  });

  it('is none where there are no peers', () => {
    expect(byLot([], (below) => below - 1)).toEqual([]);
  });
});
