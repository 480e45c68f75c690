import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { faultyDisk } from './faulty-disk.js';
import { backupOfFR2, push, send, type VaultFixture } from './fixture.js';
import { temporaryVault } from './temporary-vault.js';

const MiB = 2 ** 20;
const content = randomBytes(MiB);
const large = Buffer.concat(Array.from({ length: 40 }, () => content));
const manifest = backupOfFR2(large);
const { name } = manifest.facts;

describe('a large backup that arrives', () => {
  let fixture: VaultFixture;

  beforeEach(async () => {
    fixture = await temporaryVault();
  });

  it('goes to the disk while it arrives, so that the last fsync has little left to do', async () => {
    const faulty = faultyDisk();
    await push(await fixture.open({ disk: faulty.disk }), manifest, large);
    const steps = faulty.trace.filter((step) => /^handle.(write|datasync|sync) [0-9a-f]+.part$/.test(step));
    const syncs = steps.flatMap((step, at) => (step.startsWith('handle.datasync') ? [at] : []));
    expect(syncs).toHaveLength(2);
    expect(steps.slice(Math.max(...syncs)).some((step) => step.startsWith('handle.write'))).toBe(true);
    expect(steps.at(-1)).toMatch(/^handle.sync /);
  });

  it('is taken no faster than the disk takes it: whoever sends waits for one that is 32 MiB behind', async () => {
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    const sync = faulty.hold(/^handle.datasync /);
    const pushed = push(vault, manifest, large);
    await sync.reached;
    await setTimeout(1_000);
    const [part = ''] = (await fixture.files('.incoming')).filter((file) => file.endsWith('.part'));
    const { size } = await stat(join(fixture.data, '.incoming', part));
    expect(size).toBeGreaterThan(16 * MiB);
    expect(size).toBeLessThan(33 * MiB);
    sync.letGo();
    await pushed;
  });

  it.each([
    ['first', 0],
    ['last', 1],
  ])('is not acknowledged when the %s of these syncs failed, though a later one succeeds', async (_, nth) => {
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    const isSync = (call: number): boolean => faulty.calls[call] === 'handle.datasync';
    faulty.fail(
      'EIO',
      (call) => isSync(call) && faulty.calls.slice(0, call).filter((_, n) => isSync(n)).length === nth,
    );
    await expect(push(vault, manifest, large)).rejects.toThrow(/EIO/);
    expect([...faulty.open]).toEqual([]);
    expect(await fixture.files('.incoming')).toEqual([]);
    expect(vault.find(name)).toBeNull();
    await push(vault, manifest, large);
    expect(vault.find(name)).not.toBeNull();
  });

  it('is thrown away when it is cut off after such a failure: nothing is known of what the disk has', async () => {
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    await vault.offer(manifest.name.owner, manifest);
    faulty.fail('EIO', (call) => faulty.calls[call] === 'handle.datasync');
    await send(vault, manifest, large, { offset: 0, length: 20 * MiB }).catch(() => undefined);
    expect([...faulty.open]).toEqual([]);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is thrown away after such a failure also when an offer, and not who sent it, was the last to wait for it', async () => {
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    const sync = faulty.hold(/^handle.datasync /);
    const { owner } = manifest.name;
    const arriving = backupOfFR2(large.subarray(0, 20 * MiB));
    await vault.offer(owner, arriving);
    const whole = { offset: 0, length: 20 * MiB };
    const last = await vault.receive(owner, arriving.digest, whole);
    const receiver = await vault.receive(owner, arriving.digest, whole);
    await receiver.write(large.subarray(0, 20 * MiB));
    await receiver.abort();
    await sync.reached;
    const offer = vault.offer(owner, arriving).catch((thrown: unknown) => thrown);
    // It reads the hashes first, and then waits for the disk.
    while (!faulty.trace.some((step) => /^handle.read .*\.leaves$/.test(step))) await setImmediate();
    await last.abort();
    sync.letGo('EIO');
    expect(await offer).toMatchObject({ message: expect.stringContaining('EIO') });
    expect(await vault.offer(owner, arriving)).toEqual({ missing: [whole] });
  });
});
