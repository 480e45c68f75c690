import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { type Fault, faultyDisk } from './faulty-disk.js';
import { readAll, VaultFixture } from './fixture.js';

/** A way to get a backup into the vault. Resolves only when the vault has acknowledged it. */
export interface Story {
  readonly manifest: VerifiedManifest;
  readonly content: Buffer;
  readonly folder: string;
  /** What happened before the disk began to fail. */
  prepare?(vault: Vault): Promise<unknown>;
  run(vault: Vault): Promise<unknown>;
}

/** What came of a story over a failing disk. */
export interface Suffered {
  /** Why the backup was not acknowledged; null when it was. */
  readonly failure: unknown;
  /** How many calls of the disk the story made. */
  readonly calls: number;
  /** Acknowledged, and not there after a restart. */
  readonly lost: boolean;
  /** Shown after a restart, or after it was sent once more, and not what was signed. */
  readonly damaged: boolean;
  /** Files that are open, or on the disk for nothing, and what the vault finds fault with. */
  readonly left: readonly string[];
}

/** Makes an own backup of some pieces, as a night does. */
export async function keepOwn(vault: Vault, { signed }: VerifiedManifest, ...pieces: Buffer[]): Promise<void> {
  const draft = await vault.draft();
  try {
    for (const piece of pieces) await draft.write(piece);
    await draft.commit(signed);
  } finally {
    await draft.discard();
  }
}

/** Runs a story with faults, restarts on a good disk, and runs it once more where the backup did not stay. */
export async function suffer(story: Story, fault: Fault, isBad: (call: number) => boolean): Promise<Suffered> {
  const fixture = await VaultFixture.make();
  try {
    const faulty = faultyDisk();
    const vault = await fixture.open({ disk: faulty.disk });
    await story.prepare?.(vault);
    const start = faulty.calls.length;
    faulty.fail(fault, (call) => isBad(call - start));
    const failure = await story.run(vault).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    const calls = faulty.calls.length - start;
    const open = [...faulty.open].map((file) => `${file} is open`);

    const { name } = story.manifest.facts;
    const reopened = await fixture.open();
    const lost = failure === null && reopened.find(name) === null;
    if (reopened.find(name) === null) await story.run(reopened);
    const damaged = !(await readAll(reopened, story.manifest)).equals(story.content);
    const needless = (await fixture.files(story.folder)).filter((file) => ![name, `${name}.manifest`].includes(file));
    const left = [...open, ...(await fixture.files('.incoming')), ...needless, ...reopened.findings()];
    return { failure, calls, lost, damaged, left };
  } finally {
    await fixture.remove();
  }
}
