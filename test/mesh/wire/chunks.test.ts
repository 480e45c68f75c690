import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { FetchBackupResponse, PushBackupRequest } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { fetchBackupMethod, pushBackupMethod } from '../../../src/mesh/wire/chunks.js';

describe('a chunk on the wire', () => {
  const sizes = [0, 1, 127, 128, 16_383, 16_384, 65_536, 1_048_576, 2_097_152];

  it.each(sizes)('of %i bytes is, to the byte, what the generated code would have written', (size) => {
    const chunk = randomBytes(size);
    const pushed = { part: { $case: 'chunk', value: chunk } } as const;
    const expected = Buffer.from(PushBackupRequest.encode(pushed).finish());
    expect(pushBackupMethod.requestSerialize(pushed).equals(expected)).toBe(true);
    const fetched = PushBackupRequest.decode(pushBackupMethod.requestSerialize(pushed)).part;
    expect(fetched?.$case === 'chunk' && chunk.equals(fetched.value)).toBe(true);
    const received = FetchBackupResponse.decode(fetchBackupMethod.responseSerialize({ chunk }));
    expect(chunk.equals(received.chunk)).toBe(true);
  });

  it('is the only part that does not go through the generated code', () => {
    const header = { part: { $case: 'header', value: { manifestDigest: randomBytes(32), range: undefined } } } as const;
    const expected = Buffer.from(PushBackupRequest.encode(header).finish());
    expect(pushBackupMethod.requestSerialize(header)).toEqual(expected);
  });
});
