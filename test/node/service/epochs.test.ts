import { execFileSync } from 'node:child_process';
import { createHash, sign, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { publicKeyBytes } from '../../../src/mesh/identity/identity.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { openEpochs } from '../../../src/node/service/epochs.js';
import { silent, watchEvents } from '../../support/events.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'epochs.json');
});

const keys = deriveKeys(generateRecoveryKey());
const fr1 = parseHostname('FR1');
const at = (epoch: number) => makeServerIdentity(keys, fr1, epoch).certificate;
const open = () => openEpochs(file, silent);

/** A certificate of an epoch that no calendar has, as this version makes none, with its signature and with that of another one. */
function oddCertificates(): { readonly signed: Buffer; readonly unsigned: Buffer } {
  const hexOf = (epoch: number) => epoch.toString(16).padStart(14, '0');
  const { der } = at(8e15);
  const unsigned = Buffer.from(der.toString('hex').replace(hexOf(8e15), hexOf(9e15)), 'hex');
  // Before it the header of the whole, behind it the algorithm (7 bytes) and the signature (67).
  const body = unsigned.subarray(4, -74);
  const signature = sign(null, body, keys.identityKey);
  return { unsigned, signed: Buffer.concat([unsigned.subarray(0, -signature.length), signature]) };
}

/** A file that has such a certificate of FR1, and a right one of US1. */
async function withOddKey() {
  const us1Keys = deriveKeys(generateRecoveryKey());
  const us1 = us1Keys.identity;
  await (await open()).admit(makeServerIdentity(us1Keys, 'US1', 2000).certificate, parseHostname('US1'));
  const { [us1]: right } = JSON.parse(await readFile(file, 'utf8'));
  const { signed, unsigned } = oddCertificates();
  const key = createHash('sha256')
    .update(publicKeyBytes(new X509Certificate(signed).publicKey))
    .digest('base64');
  const odd = { epoch: 9e15, key, certificate: signed.toString('base64') };
  const write = (changes: object) =>
    writeFile(file, JSON.stringify({ [keys.identity]: { ...odd, ...changes }, [us1]: right }));
  return { us1, us1Keys, right, unsigned, write };
}

describe('the epochs that a node has seen', () => {
  it('are kept with the certificate that proves them', async () => {
    const newest = at(2000);
    await (await open()).admit(newest, fr1);
    expect((await open()).newest(keys.identity)).toEqual(newest);
  });

  it('are told once each where the disk does not take them', async () => {
    const log = watchEvents();
    const epochs = await openEpochs(file, log);
    await mkdir(`${file}.new`);
    const [second, third] = [at(2000), at(3000)];
    for (const newer of [second, second, third]) await expect(epochs.admit(newer, fr1)).rejects.toThrow();
    const errors = log.all.filter(({ level }) => level === 'error');
    expect(errors.map(({ event, fields }) => [event.split(':')[0], fields['peer']])).toEqual([
      ['newer node key not remembered', 'FR1'],
      ['newer node key not remembered', 'FR1'],
    ]);
    await rmdir(`${file}.new`);
    expect(await epochs.admit(third, fr1)).toBe(true);
    expect((await open()).newest(keys.identity)?.epoch).toBe(3000);
  });

  it('lock an older key out, and tell who follows them, also where the disk does not take the newer one', async () => {
    const epochs = await open();
    const told: number[] = [];
    epochs.whenNewer(({ epoch }) => void told.push(epoch));
    const [old, newer] = [at(1000), at(2000)];
    await epochs.admit(old, fr1);
    await mkdir(`${file}.new`);
    for (let calls = 1; calls <= 2; calls += 1) await expect(epochs.admit(newer, fr1)).rejects.toThrow();
    expect(told).toEqual([2000]);
    expect(await epochs.admit(old, fr1)).toBe(false);
    expect(epochs.newest(keys.identity)?.epoch).toBe(2000);
  });

  it('are remembered with the next one, whoever has that, where the disk did not take them before', async () => {
    const us1 = makeServerIdentity(deriveKeys(generateRecoveryKey()), 'US1', 1000).certificate;
    const epochs = await open();
    await epochs.admit(at(1000), fr1);
    await mkdir(`${file}.new`);
    await expect(epochs.admit(at(2000), fr1)).rejects.toThrow();
    await rmdir(`${file}.new`);
    await epochs.admit(us1, parseHostname('US1'));
    expect((await open()).newest(keys.identity)?.epoch).toBe(2000);
  });

  it('are not believed where their certificate says something else', async () => {
    const other = deriveKeys(generateRecoveryKey()).identity;
    await (await open()).admit(at(2000), fr1);
    const right = await readFile(file, 'utf8');
    const { fingerprint: key, der } = at(2000);
    const damaged = [
      right.replace('"epoch": 2000', '"epoch": 2004'),
      right.replace('"key": "', '$&_'),
      right.replace(keys.identity, other),
      right.replace(keys.identity, `${keys.identity.slice(0, -1)}-`),
      right.replace(/"certificate": "[^"]{300}/, '$&_'),
      right.replace(/"certificate": "[^"]*"/, '"certificate": 1'),
      JSON.stringify({ [keys.identity]: { epoch: 2000, key } }),
      JSON.stringify({ [keys.identity]: { epoch: 2000, key, certificate: der.toString('base64').slice(0, -4) } }),
      '[]',
      '1',
      'null',
      '""',
    ];
    for (const content of damaged) {
      expect(content).not.toBe(right);
      await writeFile(file, content);
      await expect(open(), content).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining(file) });
    }
    await writeFile(file, right);
    expect((await open()).newest(keys.identity)?.epoch).toBe(2000);
  });

  it('can be moved away where their file is damaged, and the hint says what that costs', async () => {
    await writeFile(file, '');
    const hint = expect.stringContaining(`mv ${file} ${file}.damaged`);
    await expect(open()).rejects.toMatchObject({ kind: 'damaged', hint });
    await rename(file, `${file}.damaged`);
    expect((await open()).newest(keys.identity)).toBeUndefined();
  });

  it.skipIf(process.geteuid?.() !== 0)('stay where they are when another user may not read them', async () => {
    await (await open()).admit(at(2000), fr1);
    await chmod(folder, 0o755);
    process.seteuid?.(65_534);
    const opening = open().finally(() => process.seteuid?.(0));
    await expect(opening).rejects.toMatchObject({
      kind: 'damaged',
      hint: expect.stringMatching(/ belongs to uid 0\. .*`chown -R 65534/),
    });
  });

  it('are without a key that version 0.1.0 took and no calendar has, which keeps no node from starting', async () => {
    const { write, right, us1, unsigned } = await withOddKey();
    await write({});
    const epochs = await open();
    expect(epochs.newest(keys.identity)).toBeUndefined();
    expect(epochs.newest(us1)?.epoch).toBe(2000);
    for (const changes of [{ epoch: 2000 }, { key: right.key }, { certificate: unsigned.toString('base64') }]) {
      await write(changes);
      await expect(open(), Object.keys(changes)[0]).rejects.toMatchObject({ kind: 'damaged' });
    }
  });

  it('let the server of such a key in with one that a calendar has, and lock out older ones from then on', async () => {
    const { write, us1Keys } = await withOddKey();
    await write({});
    await (await open()).admit(makeServerIdentity(us1Keys, 'US1', 3000).certificate, parseHostname('US1'));
    const epochs = await open();
    expect(await epochs.admit(at(2000), fr1)).toBe(true);
    expect((await open()).newest(keys.identity)?.epoch).toBe(2000);
    expect(await epochs.admit(at(1000), fr1)).toBe(false);
  });

  it('are not waited for where a pipe took the place of their file', async () => {
    execFileSync('mkfifo', [file]);
    await expect(open()).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining(`${file} cannot be read: it is not a file`),
    });
  });

  it('end with the newer one when two new keys call at once, also in the file', async () => {
    const epochs = await open();
    const [newer, older] = [at(3000), at(2000)];
    expect(await Promise.all([epochs.admit(newer, fr1), epochs.admit(older, fr1)])).toEqual([true, false]);
    for (const each of [epochs, await open()]) expect(each.newest(keys.identity)?.epoch).toBe(3000);
  });

  it('tell who follows them before anything else of a newer key', async () => {
    const told: string[] = [];
    const log = { ...silent, warn: (event: string) => void told.push(event) };
    const epochs = await openEpochs(file, log);
    epochs.whenNewer(({ epoch }) => void told.push(`cut what is older than ${epoch}`));
    for (const epoch of [1000, 2000]) await epochs.admit(at(epoch), fr1);
    expect(told).toEqual(['cut what is older than 2000', 'node key superseded']);
  });
});
