import type { Random } from './random.js';

/** Values that parsers stumble over: ends of ranges, and lengths that lie. */
const bytes = [0x00, 0x01, 0x0a, 0x20, 0x2d, 0x2e, 0x2f, 0x30, 0x7f, 0x80, 0xc0, 0xfe, 0xff];
const runs = [
  Buffer.from('ffffffffffffffffff01', 'hex'),
  Buffer.from('ffffffff0f', 'hex'),
  Buffer.from('0affffff7f', 'hex'),
  Buffer.from('../../../etc/passwd\0'),
  Buffer.from('\u202e\u0000\ud83d\ude00\r\n\t"\'`$(x)'),
  Buffer.from('-1e400 0x7fffffffffffffff NaN null'),
  Buffer.from('&a [*a,*a,*a,*a]\n'),
];

/** Changes valid bytes in one to four places; `others` are what may be spliced in. */
export function mutate(valid: Buffer, others: readonly Buffer[], random: Random): Buffer {
  let mutant: Buffer = Buffer.from(valid);
  const changes = 1 + random.below(4);
  for (let change = 0; change < changes; change += 1) mutant = changed(mutant, others, random);
  return mutant;
}

function changed(input: Buffer, others: readonly Buffer[], random: Random): Buffer {
  const at = random.below(input.length + 1);
  const end = Math.min(input.length, at + 1 + random.below(16));
  const insert = (piece: Buffer): Buffer => Buffer.concat([input.subarray(0, at), piece, input.subarray(at)]);
  switch (random.below(9)) {
    case 0:
      return flipped(input, random);
    case 1:
      return input.length === 0 ? insert(Buffer.of(0)) : replaced(input, random);
    case 2:
      return Buffer.concat([input.subarray(0, at), input.subarray(end)]);
    case 3:
      return insert(input.subarray(at, end));
    case 4:
      return input.subarray(0, at);
    case 5:
      return insert(random.pick(runs));
    case 6:
      return insert(Buffer.alloc(random.below(2_000), random.pick(bytes)));
    case 7: {
      const other = random.pick(others);
      return Buffer.concat([input.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    }
    default:
      return Buffer.from(Array.from({ length: random.below(64) }, () => random.below(256)));
  }
}

function flipped(input: Buffer, random: Random): Buffer {
  const bit = random.below(Math.max(1, input.length * 8));
  const at = Math.floor(bit / 8);
  if (at < input.length) input[at] = (input[at] ?? 0) ^ (1 << (bit % 8));
  return input;
}

function replaced(input: Buffer, random: Random): Buffer {
  input[random.below(input.length)] = random.pick(bytes);
  return input;
}
