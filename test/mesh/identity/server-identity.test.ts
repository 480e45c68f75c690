import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadServerIdentity, storeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { throwawayServer } from '../../support/identities.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

describe('the identity of a server on its disk', () => {
  it('is refused with a certificate that its identity did not sign: no peer would take it', async () => {
    const self = throwawayServer('FR1');
    await storeServerIdentity(self, folder);
    expect((await loadServerIdentity(folder)).identity).toBe(self.identity);
    const file = join(folder, 'node.crt');
    const pem = await readFile(file, 'utf8');
    // The last lines are the signature.
    const at = pem.indexOf('\n-----END') - 8;
    await writeFile(file, `${pem.slice(0, at)}${pem[at] === 'A' ? 'B' : 'A'}${pem.slice(at + 1)}`);
    await expect(loadServerIdentity(folder)).rejects.toMatchObject({
      kind: 'config',
      message: expect.stringContaining(`${file} is damaged: the certificate is not signed by ${self.identity}`),
      hint: expect.stringContaining('anemone-peer restore'),
    });
  });

  it('is refused with the certificate of another node key', async () => {
    await storeServerIdentity(throwawayServer('FR1'), folder);
    const key = await readFile(join(folder, 'node.key'));
    await storeServerIdentity(throwawayServer('FR1'), folder);
    await writeFile(join(folder, 'node.key'), key);
    await expect(loadServerIdentity(folder)).rejects.toThrow('does not belong to');
  });

  it('is not waited for where a pipe is in its place', async () => {
    execFileSync('mkfifo', [join(folder, 'node.key')]);
    await expect(loadServerIdentity(folder)).rejects.toMatchObject({
      kind: 'config',
      message: expect.stringContaining('the identity of this server is unreadable: '),
    });
  });
});
