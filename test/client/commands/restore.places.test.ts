import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { identityToRecipient } from 'age-encryption';
import { beforeEach, describe, expect, it } from 'vitest';
import { restore } from '../../../src/client/commands/restore.js';
import type { RestoreOptions } from '../../../src/client/restore/options.js';
import type { Manifest } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { storeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { type BareMachine, makeBareMachine, pinned, treeOf } from '../../support/bare-machine.js';
import { commandTrial } from '../../support/command.js';
import { pushTo, sealTree } from '../../support/restorable.js';
import type { RawMember } from '../restore/raw-tar.js';

const name = 'anemone-backup-FR1-20261123-010000.enc';
let machine: BareMachine;
let folder: string;
beforeEach(async () => {
  machine = await makeBareMachine();
  folder = machine.folder;
  await hold('./config, "/etc/my app", /etc/gone, /srv', [
    { name: 'etc/my app/', type: '5', mode: 0o755 },
    { name: 'etc/my app/app.conf', body: 'app' },
    { name: 'srv/', type: '5', mode: 0o755 },
    { name: 'srv/page', body: 'page' },
  ]);
});

/** Makes FR2 hold a backup of FR1 with these members, and a configuration that has these paths. */
async function hold(paths: string, members: readonly RawMember[], facts: Partial<Manifest> = {}): Promise<void> {
  const { fr1, fr2, us1 } = machine;
  const recipient = await identityToRecipient(fr1.keys.ageIdentity);
  const sets = `backup: { sets: { backup: { paths: [${paths}], exclude: [/etc/left] } }, encryption: { recipients: [${recipient}] } }\n`;
  const tree = treeOf('new', fr2, us1).map((member) =>
    member.name === 'config/config.yaml' ? { ...member, body: `${member.body}${sets}` } : member,
  );
  await pushTo(fr2, fr1, await sealTree(fr1, [...tree, ...members], facts));
}

/** Runs a command that a restore has shown, into another target than that which it names. */
async function run(command: string, target: string): Promise<void> {
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
  const valuesOf = (flag: string) => words.filter((_, index) => words[index - 1] === flag);
  const trial = commandTrial({ cwd: folder, stdin: machine.fr1.recoveryKey, config: valuesOf('--config')[0] ?? '' });
  const options = { target, include: valuesOf('--include'), yes: true, keyStdin: true, takeover: true };
  expect(await restore(trial.context, words[words.indexOf('restore') + 1], options)).toBe(0);
  expect(trial.said.stderr).not.toContain('belong');
}

describe('what the configuration has outside its folder', () => {
  it('is named with its place and the command that brings it there: the restore is done in part', async () => {
    const { code, said } = await machine.restore();
    expect(code).toBe(3);
    expect(said.stderr).toContain(`/etc/my app  lies in ${folder}/etc/my app`);
    expect(said.stderr).toContain(`/srv  lies in ${folder}/srv`);
    expect(said.stderr).not.toContain('/etc/gone  lies');
    const [command = ''] = /^ *(sudo )?anemone-peer restore .*$/m.exec(said.stderr) ?? [];
    expect(command).toContain(
      `restore ${name} --config ${folder}/config/config.yaml --ownership --target / --include '/etc/my app' --include /srv`,
    );
    expect(said.stderr.trim().split('\n').at(-1)).toContain('Start the node now');
    await run(command, join(folder, 'its place'));
    expect(await readFile(join(folder, 'its place/etc/my app/app.conf'), 'utf8')).toBe('app');
    expect(existsSync(join(folder, 'its place/srv/page'))).toBe(true);
    expect(existsSync(join(folder, 'its place/config'))).toBe(false);
  });

  it('is named in that command as a whole, however much it is', async () => {
    const volumes = Array.from({ length: 40 }, (_, nth) => `/var/lib/docker/volumes/${'v'.repeat(64)}${nth}/_data`);
    await hold(
      `./config, ${volumes.join(', ')}`,
      volumes.map((path) => ({ name: `${path.slice(1)}/`, type: '5' })),
      { sequence: 2, previous: randomBytes(32), createdAtMs: Date.UTC(2026, 10, 24, 1) },
    );
    const { said } = await machine.restore();
    const [command = ''] = /^ *(sudo )?anemone-peer restore .*$/m.exec(said.stderr) ?? [];
    expect(command.split(' --include ').slice(1)).toEqual(volumes);
  });

  it('is named where the backup has nothing of it: the restore is done in part', async () => {
    await hold('./config, ./notes, /etc/gone, /etc/left, /srv', [{ name: 'srv/', type: '5', mode: 0o755 }], {
      sequence: 2,
      previous: randomBytes(32),
      createdAtMs: Date.UTC(2026, 10, 24, 1),
    });
    const { code, said } = await machine.restore({}, { json: true });
    expect(said.stderr).toContain('the backup does not have it:\n  /etc/gone\n  ./notes\n');
    expect(said.stderr).toContain(
      `restore BACKUP --config ${folder}/config/config.yaml --target DIR --include /etc/gone --include /notes\n`,
    );
    expect([code, JSON.parse(said.stdout).absent]).toEqual([3, ['/etc/gone', './notes']]);
  });

  it.each(['.', '/'])('is nothing of %s, which has all that the backup has', async (path) => {
    await hold(path, [{ name: 'srv/', type: '5', mode: 0o755 }], {
      sequence: 2,
      previous: randomBytes(32),
      createdAtMs: Date.UTC(2026, 10, 24, 1),
    });
    const { said } = await machine.restore({}, { json: true });
    expect(JSON.parse(said.stdout).absent).toEqual([]);
  });

  it('is told by a dry run, which ends as one, and is in the document', async () => {
    const { code, said } = await machine.restore({ dryRun: true });
    expect([code, said.stderr]).toEqual([0, expect.stringContaining(`/srv  would lie in ${folder}/srv`)]);
    const document = JSON.parse((await machine.restore({ dryRun: true }, { json: true })).said.stdout);
    expect(document.elsewhere).toEqual([
      { path: join(folder, 'etc/my app'), belongs: '/etc/my app' },
      { path: join(folder, 'srv'), belongs: '/srv' },
    ]);
  });

  it('is only noted where another folder was named, and the server is not to be there', async () => {
    const { code, said } = await machine.restore({ target: join(folder, 'look'), takeover: false });
    expect([code, said.stderr]).toEqual([0, expect.stringContaining(`/srv  lies in ${folder}/look/srv`)]);
    expect(said.stderr).not.toContain('warning');
    expect(said.stderr).toContain(`--server FR1 --peer '${pinned(machine.fr2)}'`);
    const parts = await machine.restore({ target: join(folder, 'parts'), include: ['/srv'] });
    expect([parts.code, parts.said.stderr]).toEqual([0, expect.not.stringContaining('belong')]);
  });

  it.each([
    ['a restore on the living server, which is done in part', {}, 3, 'lies'],
    ['a drill, which it does not fail', { drill: true }, 0, 'would lie'],
  ])('is told by %s', async (_what, options, code, lies) => {
    await machine.restore({ takeover: false });
    await storeServerIdentity(machine.fr1.server, join(folder, 'config-backups/.state'));
    const living = await onServer(options);
    expect([living.code, living.said.stderr]).toEqual([
      code,
      expect.stringContaining(`/srv  ${lies} in ${folder}/srv`),
    ]);
  });
});

async function onServer(options: Partial<RestoreOptions>) {
  const trial = commandTrial({ cwd: folder, stdin: machine.fr1.recoveryKey });
  const call = options.drill === true ? {} : { yes: true };
  const code = await restore(trial.context, 'latest', { keyStdin: true, takeover: true, ...call, ...options });
  return { code, said: trial.said };
}
