import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openTarget } from '../../../src/client/restore/place/target.js';
import { storeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { formatAddress } from '../../../src/mesh/terms/address.js';
import { type BareMachine, makeBareMachine, pinned, treeOf } from '../../support/bare-machine.js';
import { anemonePeer, type ProgramEnd } from '../../support/program.js';
import { pushTo, sealTree } from '../../support/restorable.js';

/** Somebody who may write to the folder of the machine, and not to what root has there. */
const user = 65_534;
let machine: BareMachine;
let folder: string;
beforeEach(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test restores as another user: run it as root');
  machine = await makeBareMachine();
  folder = machine.folder;
  await chown(folder, user, user);
  const { fr1, fr2, us1 } = machine;
  const tree = [
    ...treeOf('new', fr2, us1),
    { name: 'app/', type: '5', mode: 0o700 },
    { name: 'app/app.conf', body: 'new' },
    { name: 'etc/wireguard/', type: '5', mode: 0o700 },
    { name: 'etc/wireguard/wg0.conf', body: 'new', mode: 0o600 },
    { name: 'srv/deep/page', body: 'new' },
  ];
  await pushTo(fr2, fr1, await sealTree(fr1, tree));
});

/** What root keeps to itself. */
async function put(name: string): Promise<void> {
  await mkdir(join(folder, name, '..'), { recursive: true, mode: 0o755 });
  await writeFile(join(folder, name), 'old');
  await chmod(join(folder, name, '..'), 0o700);
}

function restore(...more: string[]): Promise<ProgramEnd> {
  const peer = pinned(machine.fr2);
  const args = ['restore', 'latest', '--server', 'FR1', '--peer', peer, '--yes', '--key-stdin', ...more];
  return anemonePeer(args, { cwd: folder, user, input: `${machine.fr1.recoveryKey}\n` });
}

const read = (name: string) => readFile(join(folder, name), 'utf8');

describe('a restore by a user who is not root', () => {
  it('leaves out what lies in folders that it may not look into, and brings the rest', async () => {
    await put('etc/wireguard/wg0.conf');
    await put('srv/deep/page');
    await chmod(join(folder, 'srv'), 0o700);
    const { code, stderr } = await restore();
    expect([code, stderr]).toEqual([3, expect.stringContaining('Taken by FR2, US1')]);
    expect(stderr).toMatch(
      /This was not restored:\n {2}etc\/wireguard: .*\/etc may not be written.*\n {2}srv\/deep\/page: .*\/srv may not be/,
    );
    expect([await read('config/secret.key'), await read('app/app.conf')]).toEqual(['secret new', 'new']);
    expect([await read('etc/wireguard/wg0.conf'), await read('srv/deep/page')]).toEqual(['old', 'old']);
  });

  it('of parts does so too', async () => {
    await put('etc/wireguard/wg0.conf');
    const { code, stderr } = await restore('--include', '/app', '--include', '/etc/wireguard');
    expect([code, stderr]).toEqual([3, expect.stringContaining('etc/wireguard/wg0.conf cannot be put into place')]);
    expect(await read('app/app.conf')).toBe('new');
  });

  it('exchanges such a folder as a whole where it may write around it', async () => {
    await put('app/mine');
    expect((await restore('--no-takeover')).code).toBe(0);
    expect(await read('app/app.conf')).toBe('new');
    const before = (await readdir(folder)).find((name) => name.startsWith('app.before-')) ?? '';
    expect(await read(`${before}/mine`)).toBe('old');
  });

  it('is refused where it may not write, before anything is fetched', async () => {
    await chown(folder, 0, 0);
    const { code, stderr } = await restore();
    expect([code, stderr]).toEqual([13, expect.stringContaining(`this user may not restore into ${folder}`)]);
    expect(stderr).toContain('as root, or restore into another --target');
    expect(await readdir(folder)).toEqual([]);
  });
});

it('a drill by a user who is not root names what a killed one of root has left, and not what one at work has', async () => {
  const { fr1, fr2 } = machine;
  const peer = `{ name: FR2, vpn_ip: "${formatAddress(fr2.address)}", identity: "${fr2.server.identity}" }`;
  await mkdir(join(folder, 'config'));
  const config = `server: { name: FR1, listen: "127.0.0.1:7443" }\npeers: [${peer}]\n`;
  await writeFile(join(folder, 'config/config.yaml'), config);
  await storeServerIdentity(fr1.server, join(folder, 'config-backups/.state'));
  execFileSync('chown', ['-R', `${user}:${user}`, folder]);
  await put('.anemone-drill-killed/page');
  await put('.anemone-drill-busy/page');
  const { close } = await openTarget(join(folder, '.anemone-drill-busy'));
  const { code, stderr } = await anemonePeer(['restore', '--drill', '--key-stdin'], {
    cwd: folder,
    user,
    input: `${fr1.recoveryKey}\n`,
  }).finally(close);
  const stale = join(folder, '.anemone-drill-killed');
  expect([code, stderr]).toEqual([0, expect.stringContaining(`warning: ${stale} cannot be removed`)]);
  expect(stderr).toContain('it holds files of a backup, unsealed. Remove it yourself.');
  expect(stderr).not.toContain('busy');
});
