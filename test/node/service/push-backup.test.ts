import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PushBackupRequest, PushBackupResponse } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { pushBackup } from '../../../src/node/service/push-backup.js';
import { type FaultyDisk, faultyDisk } from '../vault/faulty-disk.js';
import { backupOfFR2, FR2, servers, type VaultFixture } from '../vault/fixture.js';
import { temporaryVault } from '../vault/temporary-vault.js';

/** More than is on its way to the disk at a time. */
const content = randomBytes(1_500_000);
const manifest = backupOfFR2(content);
const range = { offset: 0, length: content.length };
const header: PushBackupRequest = { part: { $case: 'header', value: { manifestDigest: manifest.digest, range } } };
const end: PushBackupRequest = { part: { $case: 'end', value: {} } };

function chunk(bytes: Buffer): PushBackupRequest {
  return { part: { $case: 'chunk', value: bytes } };
}

async function* allAtOnce(): AsyncGenerator<PushBackupRequest[]> {
  yield [header];
  yield [chunk(content)];
  yield [end];
}

describe('the patience with an upload', () => {
  let fixture: VaultFixture;
  let faulty: FaultyDisk;
  let gone: AbortController;

  beforeEach(async () => {
    fixture = await temporaryVault();
    faulty = faultyDisk();
    gone = new AbortController();
  });

  afterEach(async () => {
    expect(fixture.clock.pending(), 'timers of the upload').toBe(0);
  });

  async function push(requests: AsyncIterable<readonly PushBackupRequest[]>): Promise<PushBackupResponse> {
    const vault = await fixture.open({ disk: faulty.disk });
    await vault.offer(FR2, manifest);
    const caller = { name: FR2, identity: servers.FR2.identity, key: 'FR2', quota: 0, reads: [] };
    const answer = pushBackup(vault, requests, { caller, signal: gone.signal }, fixture.clock);
    return answer.finally(() => vault.close());
  }

  it('is for its caller alone: while the disk here takes its time, none of it is used up', async () => {
    const write = faulty.hold(/^handle.write .*\.part$/);
    const answer = push(allAtOnce());
    await write.reached;
    await fixture.clock.advance(61_000);
    write.letGo();
    expect(await answer).toMatchObject({ answer: { $case: 'receipt' } });
  });

  it('ends when less than a leaf came in a minute of waiting, however often a byte came', async () => {
    let taken = 0;
    async function* byteByByte(): AsyncGenerator<PushBackupRequest[]> {
      yield [header];
      for (const byte of content) {
        await fixture.clock.sleep(25_000, gone.signal);
        yield [chunk(Buffer.of(byte))];
        taken += 1;
      }
    }
    const answer = push(byteByByte());
    await expect(fixture.clock.runUntil(answer)).rejects.toMatchObject({ kind: 'timeout' });
    expect(taken).toBe(2);
    gone.abort();
  });

  it('is over at once when its caller goes away, and the call when the disk lets go of it', async () => {
    const write = faulty.hold(/^handle.write .*\.part$/);
    const answer = push(allAtOnce());
    await write.reached;
    gone.abort();
    write.letGo();
    await expect(answer).rejects.toMatchObject({ kind: 'interrupted' });
    expect([...faulty.open]).toEqual([]);
  });
});
