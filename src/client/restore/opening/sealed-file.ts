import { constants, type FileHandle, open } from 'node:fs/promises';
import { opensWithPassphrase } from '../../../mesh/envelope/age.js';
import type { EnvelopeFormat, EnvelopeKeys, OpenedEnvelope } from '../../../mesh/envelope/envelope.js';
import { detectFormat, openEnvelope } from '../../../mesh/envelope/open.js';
import { readAll } from '../../../mesh/files/read-all.js';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Keys } from './keys.js';

/** A sealed backup as a file on this disk, ready to be opened. */
export interface SealedFile {
  /** As messages call it. */
  readonly label: string;
  readonly file: FileHandle;
  /** Null for a file that nothing vouches for. */
  readonly manifest: VerifiedManifest | null;
  /** The age secret key that is known already; null when it is still to be asked for. */
  readonly ageIdentity: string | null;
}

const formats: readonly string[] = ['age', 'anemone-cbc1'] satisfies EnvelopeFormat[];

/** What the manifest says of its format; what the file looks like when there is no manifest, or it does not know. */
export async function formatOf({ label, file, manifest }: SealedFile): Promise<EnvelopeFormat> {
  const stated = manifest?.facts.format ?? '';
  if (isFormat(stated)) return stated;
  const format = detectFormat(await headOf(file));
  if (format !== null) return format;
  throw new Failure('damaged', `${label} is not sealed: its content can be read as it is`, {
    hint: 'Restore opens age and anemone-cbc1 files.',
  });
}

/**
 * The plaintext of a sealed file; asks for the key that it needs where that is not known yet. An anemone-cbc1 file whose
 * plaintext begins as nothing known is opened when its owner signed it and the padding at its end is right: all that can be
 * known of its key (`keyProven` is false then).
 * @throws Failure `wrong-key` | `damaged`, in words that tell one from the other
 */
export async function openSealed(sealed: SealedFile, format: EnvelopeFormat, keys: Keys): Promise<OpenedEnvelope> {
  const open = (given: Partial<EnvelopeKeys>) => openWith({ ageIdentities: [], ...given }, sealed, format);
  if (format === 'anemone-cbc1') return open({ cbc1KeyText: await keys.resticKey() });
  if (await needsPassphrase(sealed)) return open({ passphrase: await keys.passphrase() });
  const known = sealed.ageIdentity ?? (await keys.openingKey()).ageIdentity;
  try {
    return await open({ ageIdentities: [known] });
  } catch (thrown) {
    // What came sealed from its source need not open with the recovery key that was needed to find it.
    const { kind, message } = Failure.from(thrown);
    const other = kind === 'wrong-key' ? await keys.otherKey(message) : null;
    if (other === null) throw thrown;
    return open({ ageIdentities: [other.ageIdentity] });
  }
}

async function needsPassphrase({ file, label }: SealedFile): Promise<boolean> {
  try {
    return await opensWithPassphrase(readAll(file));
  } catch (thrown) {
    throw inWords(Failure.from(thrown, label), label);
  }
}

async function openWith(given: EnvelopeKeys, sealed: SealedFile, format: EnvelopeFormat): Promise<OpenedEnvelope> {
  try {
    const opened = await openEnvelope(readAll(sealed.file), given, format);
    if (!opened.keyProven) await checkUnproven(sealed, given);
    return opened;
  } catch (thrown) {
    const failure = Failure.from(thrown, sealed.label);
    throw failure.kind === 'wrong-key' ? wrongKey(failure, given, sealed) : inWords(failure, sealed.label);
  }
}

async function checkUnproven({ file, manifest }: SealedFile, given: EnvelopeKeys): Promise<void> {
  if (manifest === null) {
    throw new Failure('wrong-key', 'what the Restic key given makes of it is nothing known, such as an archive', {
      hint: 'If you are sure of the key, put its manifest beside it, or open it with openssl: docs/formats.md says how.',
    });
  }
  // The last two blocks are a file of the format themselves: nobody reads the whole to learn that the key is wrong.
  const { plaintext } = await openEnvelope(readAll(file, { start: manifest.facts.size - 32 }), given, 'anemone-cbc1');
  for await (const _padding of plaintext);
}

function inWords(failure: Failure, label: string): Failure {
  const { kind, message } = failure;
  return kind === 'damaged' ? new Failure(kind, `${label} is damaged: ${message}`, { cause: failure }) : failure;
}

function wrongKey(failure: Failure, given: EnvelopeKeys, { label, manifest }: SealedFile): Failure {
  const intact = manifest === null ? '' : ' The backup is not damaged: its bytes are those that its owner signed.';
  // Without a manifest, nothing tells a wrong key of the predecessor's format from damage, which is what its own hint says.
  const told = manifest === null ? failure.hint : undefined;
  return new Failure('wrong-key', `wrong key for ${label}: ${failure.message}.${intact}`, {
    cause: failure,
    hint: told ?? hintFor(given),
  });
}

function hintFor({ cbc1KeyText, passphrase }: EnvelopeKeys): string {
  if (cbc1KeyText !== undefined) return 'Give the Restic key that it was sealed with.';
  if (passphrase !== undefined) return 'Give the passphrase that it was sealed with.';
  return (
    'It was sealed to other recipients. Give the key of one of them: a line more with --key-stdin, ANEMONE_AGE_KEY_FILE ' +
    'or ANEMONE_AGE_KEY_COMMAND.'
  );
}

async function headOf(file: FileHandle): Promise<Buffer> {
  const head = Buffer.alloc(4096);
  const { bytesRead } = await file.read(head, 0, head.length, 0);
  return head.subarray(0, bytesRead);
}

/** @throws Failure `not-found` with a hint, when there is no such file; `usage` when it is none */
export async function openForRestore(path: string, hint?: string): Promise<FileHandle> {
  try {
    // Opening a pipe would wait for somebody to write into it.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new Failure('not-found', `there is no file ${path}`, { cause: thrown, hint });
    }
    throw Failure.from(thrown, path);
  }
  throw new Failure('usage', `${path} is not a file`);
}

function isFormat(text: string): text is EnvelopeFormat {
  return formats.includes(text);
}
