import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { findInMesh } from '../../../../src/client/restore/choosing/find.js';
import type { Holder } from '../../../../src/client/survey/holders.js';
import type { Mesh } from '../../../../src/client/survey/mesh.js';
import type { HeldBackup } from '../../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { signManifest } from '../../../../src/mesh/manifest/manifest.js';
import { parseHostname } from '../../../../src/mesh/terms/hostname.js';
import { type CommandOptions, commandTrial } from '../../../support/command.js';
import { stagedHolder } from '../../../support/holders.js';
import { throwawayServer } from '../../../support/identities.js';
import { factsAbout, manifestOf } from '../../../support/manifests.js';

const fr1 = throwawayServer('FR1');
const fr2 = stagedHolder('FR2');
const content = Buffer.from('x');
const backup = manifestOf(content, fr1.signer);

/** The mesh of FR1, in which one holder shows these entries. */
function showing(...held: readonly HeldBackup[]): Mesh {
  const holder: Holder = {
    ...fr2,
    async *list() {
      yield { backups: held, brief: [] };
    },
  };
  const owners = new Map([
    ['FR1', fr1.identity],
    ['FR10', throwawayServer('FR10').identity],
  ]);
  return { owner: parseHostname('FR1'), owners, holders: [holder], close() {} };
}

async function find(mesh: Mesh, options: Partial<CommandOptions> = {}, set = '') {
  const { context, said } = commandTrial({ cwd: tmpdir(), ...options });
  const reference = options.answers === undefined ? 'latest' : undefined;
  const chosen = await findInMesh(context, { mesh, bare: null }, { reference, at: undefined, set });
  return { chosen, stderr: said.stderr };
}

it('names a peer that shows an entry which nobody can read', async () => {
  const { stderr } = await find(showing(fr2.holding(backup), { manifest: undefined, receipt: undefined }));
  expect(stderr).toMatch(/FR2 .* shows an entry without a manifest/);
});

it('tells what is found about backups of the server, and nothing about one whose name begins like its own', async () => {
  const forged = (owner: string) => {
    const { signer } = throwawayServer(owner);
    const createdAtMs = Date.UTC(2026, 10, 24);
    return { manifest: signManifest(factsAbout(content, signer, { owner, createdAtMs }), signer), receipt: undefined };
  };
  const { stderr } = await find(showing(fr2.holding(backup), forged('FR1'), forged('FR10')));
  expect(stderr).toContain('shows anemone-backup-FR1-20261124-000000.enc');
  expect(stderr).not.toContain('FR10');
});

it('names the sets that there are where one is meant that nobody has', async () => {
  const db = manifestOf(content, fr1.signer, { set: 'db' });
  const mesh = showing(...[backup, db].map((held) => fr2.holding(held)));
  await expect(find(mesh, {}, 'databse')).rejects.toMatchObject({
    kind: 'not-found',
    message: 'nobody who answered has a backup of FR1 in the set databse',
    hint: expect.stringMatching(/^They show the sets backup, db:/),
  });
  await expect(find(showing(), {}, 'db')).rejects.toMatchObject({
    message: 'nobody who answered has a backup of FR1',
  });
});

it('numbers the backups of each set from the end of its chain on, as `latest` does, whatever the clock of their owner did', async () => {
  const made = (set: string, sequence: number, day: number) => {
    const previous = Buffer.alloc(sequence > 1 ? 32 : 0, 7);
    return manifestOf(content, fr1.signer, { set, sequence, previous, createdAtMs: Date.UTC(2026, 10, day) });
  };
  const leapt = [
    made('backup', 1, 1),
    made('backup', 2, 30),
    made('backup', 3, 2),
    made('db', 2, 3),
    made('db', 1, 29),
  ];
  const mesh = showing(...leapt.map((manifest) => fr2.holding(manifest)));
  const latest = (await find(mesh)).chosen.manifest;
  const numbered: string[] = [];
  for (let number = 1; number <= leapt.length; number += 1) {
    const { facts } = (await find(mesh, { answers: [String(number)] })).chosen.manifest;
    numbered.push(`${facts.set} ${facts.sequence}`);
  }
  expect(numbered).toEqual(['backup 3', 'backup 2', 'backup 1', 'db 2', 'db 1']);
  expect(latest.facts.sequence).toBe(3);
});
