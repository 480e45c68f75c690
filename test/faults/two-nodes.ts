import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HeldBackup, SignedReceipt } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { RunReport } from '../../src/mesh/generated/anemone/node/v1/node.js';
import { visitorEpoch } from '../../src/mesh/identity/node-certificate.js';
import { deriveKeys, parseRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { type VerifiedManifest, verifyManifest } from '../../src/mesh/manifest/manifest.js';
import { verifyReceipt } from '../../src/mesh/manifest/receipt.js';
import { connectTo } from '../../src/mesh/peers/connection.js';
import { fetchBackup } from '../../src/mesh/peers/fetch-backup.js';
import { listBackups } from '../../src/mesh/peers/list-backups.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import type { MeshServer } from '../support/mesh.js';
import type { Recorder } from './tally.js';

/** What the pusher was told, one way or the other. */
export interface Told {
  /** File names of backups that a peer acknowledged. */
  readonly acknowledged: Set<string>;
  /** Of these, the ones whose bytes were compared already. */
  readonly checked: Set<string>;
}

/** How often it is asked again whether the run of a client that was killed has ended, and after how many milliseconds. */
const mostAsked = 100;
const askedAfter = 100;

/** One forced run through the node's own socket; undefined when a program died meanwhile. */
export async function backUp(server: MeshServer): Promise<RunReport | undefined> {
  for (let asked = 0; asked < mostAsked; asked += 1) {
    try {
      return await server.backUp({ force: true });
    } catch (thrown) {
      if (Failure.from(thrown).kind !== 'locked') return undefined;
    }
    await systemClock.sleep(askedAfter);
  }
  return undefined;
}

/**
 * Compares what FR1 was told with what FR2 has on its disk.
 * @param failingReads what FR2's disk did not read is in quarantine then, and FR1 sends it again: at the latest when all is settled
 */
export async function check(
  fr1: MeshServer,
  fr2: MeshServer,
  told: Told,
  recorder: Recorder,
  failingReads = false,
): Promise<void> {
  for (const name of await receipts(fr1, fr2, recorder)) told.acknowledged.add(name);
  for (const { event, fields } of fr1.events.all) {
    if (event === 'backup delivered') told.acknowledged.add(String(fields['backup']));
  }
  const files = new Set(await readdir(join(fr2.data, 'FR1')).catch(() => []));
  const aside = failingReads ? await readdir(join(fr2.data, '.quarantine')) : [];
  for (const name of told.acknowledged) {
    if (!files.has(name) && aside.some((file) => file.includes(name))) continue;
    if (!files.has(name)) recorder.lost(`${name} is not in the folder of FR1`);
    else if (!told.checked.has(name) && (await isWhole(fr1, join(fr2.data, 'FR1', name)))) told.checked.add(name);
    else if (!told.checked.has(name)) recorder.lost(`${name} is damaged`);
  }
}

async function manifestBeside(file: string, owner: MeshServer): Promise<VerifiedManifest> {
  const { manifest } = HeldBackup.decode(await readFile(`${file}.manifest`));
  if (manifest === undefined) throw new Error(`${file} has no manifest`);
  return verifyManifest(manifest, owner.identity);
}

async function isWhole(owner: MeshServer, file: string): Promise<boolean> {
  const { facts } = await manifestBeside(file, owner);
  return createHash('sha256')
    .update(await readFile(file))
    .digest()
    .equals(facts.sha256);
}

/** The backups for which FR1 has a receipt of FR2. A receipt that proves nothing would be damage shown as good. */
async function receipts(fr1: MeshServer, fr2: MeshServer, recorder: Recorder): Promise<string[]> {
  const folder = join(fr1.data, '.state/receipts/FR2');
  const names: string[] = [];
  for (const file of await readdir(folder).catch(() => [])) {
    // A kill leaves this one; the next receipt of its name replaces it.
    if (!file.endsWith('.receipt')) continue;
    const name = file.slice(0, -'.receipt'.length);
    try {
      const { digest } = await manifestBeside(join(fr1.data, 'local', name), fr1);
      verifyReceipt(SignedReceipt.decode(await readFile(join(folder, file))), fr2.identity, digest);
      names.push(name);
    } catch (thrown) {
      recorder.problem(`the receipt for ${name}: ${String(thrown)}`);
    }
  }
  return names;
}

/** With everybody alive again: all is delivered, all that is listed can be fetched whole, and nothing is left over. */
export async function settled(fr1: MeshServer, fr2: MeshServer, told: Told, recorder: Recorder): Promise<void> {
  const report = await backUp(fr1);
  if (report?.peers[0]?.owed !== 0) recorder.problem(`FR2 is still owed ${report?.peers[0]?.owed}`);
  await check(fr1, fr2, told, recorder);
  const self = makeServerIdentity(deriveKeys(parseRecoveryKey(fr1.recoveryKey)), 'FR1', visitorEpoch);
  const address = { host: '127.0.0.1', port: Number(fr2.address.split(':')[1]) };
  const connection = connectTo({ name: parseHostname('FR2'), address, identity: fr2.identity }, self, systemClock);
  try {
    const listed = new Set<string>();
    for (const { manifest } of await listBackups(connection, { owner: 'FR1', set: '' })) {
      if (manifest === undefined) continue;
      const { facts } = verifyManifest(manifest, fr1.identity);
      const digest = createHash('sha256');
      for await (const chunk of fetchBackup(connection, facts.name, { offset: 0, length: 0 })) digest.update(chunk);
      if (!digest.digest().equals(facts.sha256)) recorder.damaged(`${facts.name} is listed by FR2`);
      listed.add(facts.name);
    }
    for (const name of told.acknowledged) if (!listed.has(name)) recorder.lost(`${name} is not listed by FR2`);
  } finally {
    connection.close();
  }
  for (const server of [fr1, fr2]) await leftovers(server, recorder);
}

async function leftovers(server: MeshServer, recorder: Recorder): Promise<void> {
  await server.stop();
  await server.start();
  for (const file of await readdir(join(server.data, '.incoming')))
    recorder.leftover(`${server.name} .incoming/${file}`);
  const state = await readdir(join(server.data, '.state'), { recursive: true });
  for (const file of state.filter((each) => each.endsWith('.new'))) recorder.leftover(`${server.name} .state/${file}`);
}
