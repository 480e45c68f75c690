import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { armor, Encrypter, identityToRecipient } from 'age-encryption';
import { beforeEach, describe, expect, it } from 'vitest';
import { restore } from '../../../src/client/commands/restore.js';
import type { RestoreOptions } from '../../../src/client/restore/options.js';
import { openTarget } from '../../../src/client/restore/place/target.js';
import { cbc1Sealer } from '../../../src/mesh/envelope/anemone-cbc1.js';
import { HeldBackup } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { treeOf } from '../../support/bare-machine.js';
import { commandTrial } from '../../support/command.js';
import { flipped } from '../../support/flip-bit.js';
import { type Restorable, recoverableServer, sealBytes, sealTree } from '../../support/restorable.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const fr1 = recoverableServer('FR1');
let folder: string;
let newer: Restorable;
beforeEach(async () => {
  folder = await temporaryFolder();
  newer = await sealTree(fr1, treeOf('new'));
});

const left = async () => (await readdir(folder)).sort();

describe('a file from disk', () => {
  async function put(bytes: Buffer, manifest?: Restorable['manifest']): Promise<string> {
    const path = join(folder, 'fr1.enc');
    await writeFile(path, bytes);
    if (manifest)
      await writeFile(
        `${path}.manifest`,
        HeldBackup.encode({ manifest: manifest.signed, receipt: undefined }).finish(),
      );
    return path;
  }
  const from = async (path: string, options: Partial<RestoreOptions> = {}, stdin = fr1.recoveryKey) => {
    const trial = commandTrial({ cwd: folder, stdin, json: true });
    const code = await restore(trial.context, undefined, {
      from: path,
      target: join(folder, 'target'),
      yes: true,
      keyStdin: true,
      takeover: true,
      ...options,
    });
    return { code, document: JSON.parse(trial.said.stdout), notes: trial.said.stderr };
  };
  const restored = () => readFile(join(folder, 'target/config/secret.key'), 'utf8');

  it('is verified by its manifest, and opened with the recovery key', async () => {
    const { code, document } = await from(await put(newer.bytes, newer.manifest));
    expect([code, await restored()]).toEqual([0, 'secret new']);
    expect(document).toMatchObject({ format: 'age', verified: true, backup: newer.manifest.facts.name });
  });

  it('says on a bare machine that this is no server of the mesh yet, and how it becomes one', async () => {
    const { notes } = await from(await put(newer.bytes, newer.manifest));
    expect(notes).toContain('no server of a mesh');
    expect(notes).toContain('restore --server FR1 --peer');
    const tried = await from(join(folder, 'fr1.enc'), { dryRun: true });
    expect(tried.notes).not.toContain('no server of a mesh');
  });

  it('lacks nothing of what the configuration of another server names, on which it is restored', async () => {
    const { bytes, manifest } = await sealTree(fr1, [{ name: 'notes', body: 'of FR1' }]);
    await mkdir(join(folder, 'config'));
    await writeFile(
      join(folder, 'config/config.yaml'),
      `server: { name: FR2, listen: '10.8.0.2:7443' }\nbackup: { sets: { backup: { paths: [/etc/of-fr2] } }, encryption: { recipients: [${await identityToRecipient(fr1.keys.ageIdentity)}] } }\n`,
    );
    const { document } = await from(await put(bytes, manifest), { takeover: false });
    expect(document.absent).toEqual([]);
  });

  describe('in the folder of another server', () => {
    const configOf = (name: string) => `server: { name: ${name}, listen: '10.8.0.2:7443' }\n`;
    const config = () => readFile(join(folder, 'config/config.yaml'), 'utf8');
    beforeEach(async () => {
      await mkdir(join(folder, 'config'));
      await writeFile(join(folder, 'config/config.yaml'), configOf('FR2'));
    });

    it('takes the place of nothing there unless that folder is named, and asks for no key before it says so', async () => {
      const path = await put(newer.bytes, newer.manifest);
      const trial = commandTrial({ cwd: folder });
      const inPlace = { from: path, yes: true, keyStdin: true, takeover: true };
      await expect(restore(trial.context, undefined, inPlace)).rejects.toMatchObject({
        kind: 'usage',
        message: `${folder} is the folder of FR2, and a backup of FR1 would take its place`,
        hint: expect.stringContaining('--target'),
      });
      expect(await config()).toBe(configOf('FR2'));
      expect((await from(path)).code).toBe(0);
      expect((await from(path, { target: folder })).code).toBe(0);
      expect(await config()).toContain('name: FR1');
    });

    it.each([
      ['its name', () => newer.manifest.facts.name],
      ['the configuration in it, where it has another name', () => 'old.enc'],
    ])('is told by %s where it has no manifest', async (_how, name) => {
      const path = join(folder, name());
      await writeFile(path, newer.bytes);
      const trial = commandTrial({ cwd: folder, stdin: fr1.recoveryKey });
      const options = { from: path, allowUnauthenticated: true, yes: true, keyStdin: true, takeover: true };
      await expect(restore(trial.context, undefined, options)).rejects.toMatchObject({ kind: 'usage' });
      expect(await config()).toBe(configOf('FR2'));
    });
  });

  it('comes back over the broken configuration that it is to mend', async () => {
    await mkdir(join(folder, 'config'));
    await writeFile(join(folder, 'config/config.yaml'), 'server: { name: FR1');
    const path = await put(newer.bytes, newer.manifest);
    const trial = commandTrial({ cwd: folder, stdin: fr1.recoveryKey });
    const code = await restore(trial.context, undefined, { from: path, yes: true, keyStdin: true, takeover: true });
    expect([code, await readFile(join(folder, 'config/secret.key'), 'utf8')]).toEqual([0, 'secret new']);
    expect(trial.said.stderr).toMatch(/warning: .*config\.yaml:1: .*the restore goes on without it/s);
    expect(trial.said.stderr).not.toContain('no server of a mesh');
  });

  it('that a command wrote is to be opened where it lies, if it is wanted as it was written', async () => {
    const { bytes, manifest } = await sealTree(fr1, [{ name: 'toc.dat', body: 'rows' }], { set: 'db' });
    await mkdir(join(folder, 'config'));
    const recipient = await identityToRecipient(fr1.keys.ageIdentity);
    const backup = `backup: { sets: { db: { command: [pg_dump] } }, encryption: { recipients: [${recipient}] } }`;
    await writeFile(join(folder, 'config/config.yaml'), `server: { name: FR1, listen: '10.8.0.1:7443' }\n${backup}\n`);
    const { notes } = await from(await put(bytes, manifest));
    expect(notes).toContain(`docker load: open ${join(folder, 'fr1.enc')} with \`age -d\``);
  });

  it('is refused without its manifest, unless that is allowed', async () => {
    const path = await put(newer.bytes);
    await expect(from(path)).rejects.toMatchObject({
      kind: 'untrusted',
      hint: expect.stringContaining('--allow-unauthenticated'),
    });
    const { document } = await from(path, { allowUnauthenticated: true });
    expect(document).toMatchObject({ format: 'age', verified: false });
    expect(await restored()).toBe('secret new');
  });

  it('with a line break in a name needs its manifest, and says so', async () => {
    const odd = await sealTree(fr1, [{ name: 'two\nlines', body: 'x' }]);
    const path = await put(odd.bytes);
    await expect(from(path, { allowUnauthenticated: true })).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('"two\\x0alines": there is a control character in a name, and no manifest'),
      hint: expect.stringMatching(/FILE\.manifest.*`age -d` and `tar`/),
    });
    await from(await put(odd.bytes, odd.manifest));
    expect(await readdir(join(folder, 'target'))).toEqual(['two\nlines']);
  });

  it('that was made with `age -p -a` is opened with its passphrase', async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase('the phrase');
    encrypter.setScryptWorkFactor(4);
    const path = await put(Buffer.from(armor.encode(await encrypter.encrypt('PGDMP rows'))));
    await from(path, { allowUnauthenticated: true }, 'the phrase\n');
    expect(await readFile(join(folder, 'target/fr1'), 'utf8')).toBe('PGDMP rows');
  });

  it('of the predecessor is opened with the Restic key, and says what it is', async () => {
    const old = await sealTree(
      fr1,
      [
        { name: 'config.yaml', body: 'x' },
        { name: 'ssh/id_rsa', body: 'k', mode: 0o644 },
        { name: '.restic.salt', body: 's' },
      ],
      {},
      cbc1Sealer('old key'),
    );
    const { document } = await from(await put(old.bytes), { allowUnauthenticated: true }, 'old key\n');
    expect(document).toMatchObject({ format: 'anemone-cbc1', verified: false });
    expect((await stat(join(folder, 'target/ssh/id_rsa'))).mode & 0o777).toBe(0o600);
    await expect(from(await put(old.bytes), { allowUnauthenticated: true }, 'wrong')).rejects.toMatchObject({
      kind: 'wrong-key',
    });
  });

  it('of the predecessor that holds nothing known, and has no manifest, is refused with a way to open it', async () => {
    const { bytes } = await sealBytes(fr1, randomBytes(3000), {}, cbc1Sealer('old key'));
    await expect(from(await put(bytes), { allowUnauthenticated: true }, 'old key\n')).rejects.toMatchObject({
      kind: 'wrong-key',
      hint: expect.stringContaining('docs/formats.md'),
    });
    expect(await left()).toEqual(['fr1.enc']);
  });

  it('with one flipped bit is damaged, which is not a wrong key', async () => {
    await expect(from(await put(flipped(newer.bytes, -20), newer.manifest))).rejects.toMatchObject({ kind: 'damaged' });
    await rm(join(folder, 'fr1.enc.manifest'));
    await expect(from(join(folder, 'fr1.enc'), { allowUnauthenticated: true })).rejects.toMatchObject({
      kind: 'damaged',
    });
    expect(await left()).toEqual(['fr1.enc']);
  });

  it('of which only the SHA-256 differs is what its owner signed in contradiction: restored, and told', async () => {
    const facts = { sha256: randomBytes(32) };
    const { bytes, manifest } = await sealTree(fr1, treeOf('new'), facts);
    const { document, notes } = await from(await put(bytes, manifest));
    expect([document.verified, await restored()]).toEqual([true, 'secret new']);
    expect(notes).toMatch(/warning: .*fr1\.enc .* another SHA-256 than its manifest says.* FR1 signed a contradiction/);
  });

  it('is read no further when the user interrupts', async () => {
    const path = await put(newer.bytes.subarray(1), newer.manifest);
    const trial = commandTrial({ cwd: folder, stdin: fr1.recoveryKey, signal: AbortSignal.abort() });
    const end = restore(trial.context, undefined, { from: path, yes: true, keyStdin: true, takeover: true });
    await expect(end).rejects.toMatchObject({ kind: 'interrupted' });
  });

  it('with the recovery key of another server is a wrong key, and not damaged', async () => {
    const path = await put(newer.bytes, newer.manifest);
    const other = recoverableServer('DE1');
    await expect(from(path, {}, other.recoveryKey)).rejects.toMatchObject({ kind: 'wrong-key' });
    await rm(`${path}.manifest`);
    await expect(from(path, { allowUnauthenticated: true }, other.recoveryKey)).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.not.stringContaining('damaged:'),
    });
  });

  it('is closed again where another restore is under way in the target', async () => {
    const path = await put(newer.bytes, newer.manifest);
    const other = await openTarget(join(folder, 'target'));
    await expect(from(path)).rejects.toMatchObject({ kind: 'locked' });
    await other.close();
    const open = await Promise.all(
      (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
    );
    expect(open).not.toContain(path);
  });

  it('that is not there, or is no sealed file, is told apart', async () => {
    await expect(from(join(folder, 'none'))).rejects.toMatchObject({ kind: 'not-found' });
    await expect(from(await put(Buffer.from('just text\n')), { allowUnauthenticated: true })).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining('not sealed'),
    });
  });
});
