import { type FileHandle, open } from 'node:fs/promises';
import type { EnvelopeFormat, EnvelopeKeys } from '../../mesh/envelope/envelope.js';
import { detectFormat, openEnvelope } from '../../mesh/envelope/open.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import { Failure } from '../../mesh/terms/failure.js';
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
 * The plaintext of a sealed file; asks for the key of its format where it is not known yet.
 * @throws Failure `wrong-key` | `damaged`, in words that tell one from the other
 */
export async function openSealed(sealed: SealedFile, format: EnvelopeFormat, keys: Keys): Promise<Bytes> {
  const given = await keysFor(sealed, format, keys);
  const ciphertext = sealed.file.createReadStream({ start: 0, autoClose: false });
  try {
    const { plaintext, keyProven } = await openEnvelope(ciphertext, given, format);
    if (keyProven) return plaintext;
    throw new Failure('wrong-key', `the Restic key does not open ${sealed.label}: what comes out is no archive`);
  } catch (thrown) {
    ciphertext.destroy();
    throw explained(Failure.from(thrown, sealed.label), sealed);
  }
}

async function keysFor({ file, ageIdentity }: SealedFile, format: EnvelopeFormat, keys: Keys): Promise<EnvelopeKeys> {
  if (format === 'anemone-cbc1') return { ageIdentities: [], cbc1KeyText: await keys.resticKey() };
  if (ageIdentity !== null) return { ageIdentities: [ageIdentity] };
  if ((await headOf(file)).includes('\n-> scrypt ')) return { ageIdentities: [], passphrase: await keys.passphrase() };
  return { ageIdentities: [(await keys.openingKey()).ageIdentity] };
}

function explained(failure: Failure, { label, manifest }: SealedFile): Failure {
  const { kind, message } = failure;
  if (kind === 'wrong-key') {
    const intact = manifest === null ? '' : ' The backup is not damaged: its bytes are those that its owner signed.';
    return new Failure(kind, `wrong key for ${label}: ${message}.${intact}`, {
      cause: failure,
      hint: 'It was sealed to other recipients. Give the key of one of them.',
    });
  }
  return kind === 'damaged' ? new Failure(kind, `${label} is damaged: ${message}`, { cause: failure }) : failure;
}

async function headOf(file: FileHandle): Promise<Buffer> {
  const head = Buffer.alloc(4096);
  const { bytesRead } = await file.read(head, 0, head.length, 0);
  return head.subarray(0, bytesRead);
}

/** @throws Failure `not-found` when there is no such file, `usage` when it is none */
export async function openForRestore(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new Failure('not-found', `there is no file ${path}`, { cause: thrown });
    }
    throw Failure.from(thrown, path);
  }
  throw new Failure('usage', `${path} is not a file`);
}

function isFormat(text: string): text is EnvelopeFormat {
  return formats.includes(text);
}
