import { type FileHandle, open } from 'node:fs/promises';
import type { EnvelopeFormat, EnvelopeKeys, OpenedEnvelope } from '../../mesh/envelope/envelope.js';
import { detectFormat, openEnvelope } from '../../mesh/envelope/open.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Keys } from './keys.js';
import { readAll } from './positional.js';

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
 * The plaintext of a sealed file; asks for the key of its format where it is not known yet. An anemone-cbc1 file whose
 * plaintext begins as nothing known is opened when its owner signed it and the padding at its end is right: all that can be
 * known of its key (`keyProven` is false then).
 * @throws Failure `wrong-key` | `damaged`, in words that tell one from the other
 */
export async function openSealed(sealed: SealedFile, format: EnvelopeFormat, keys: Keys): Promise<OpenedEnvelope> {
  const given = await keysFor(sealed, format, keys);
  try {
    const opened = await openEnvelope(readAll(sealed.file), given, format);
    if (!opened.keyProven) await checkUnproven(sealed, given);
    return opened;
  } catch (thrown) {
    throw explained(Failure.from(thrown, sealed.label), sealed, format);
  }
}

async function checkUnproven({ file, manifest }: SealedFile, given: EnvelopeKeys): Promise<void> {
  if (manifest === null) {
    throw new Failure(
      'wrong-key',
      'what the Restic key given makes of it is no archive, nor anything else that is known',
      {
        hint: 'If you are sure of the key, put its manifest beside the file, or open it with openssl: docs/formats.md says how.',
      },
    );
  }
  // The last two blocks are a file of the format themselves: nobody reads the whole to learn that the key is wrong.
  const { plaintext } = await openEnvelope(readAll(file, manifest.facts.size - 32), given, 'anemone-cbc1');
  for await (const _padding of plaintext);
}

async function keysFor({ file, ageIdentity }: SealedFile, format: EnvelopeFormat, keys: Keys): Promise<EnvelopeKeys> {
  if (format === 'anemone-cbc1') return { ageIdentities: [], cbc1KeyText: await keys.resticKey() };
  if (ageIdentity !== null) return { ageIdentities: [ageIdentity] };
  if ((await headOf(file)).includes('\n-> scrypt ')) return { ageIdentities: [], passphrase: await keys.passphrase() };
  return { ageIdentities: [(await keys.openingKey()).ageIdentity] };
}

function explained(failure: Failure, { label, manifest }: SealedFile, format: EnvelopeFormat): Failure {
  const { kind, message } = failure;
  if (kind === 'wrong-key') {
    const intact = manifest === null ? '' : ' The backup is not damaged: its bytes are those that its owner signed.';
    return new Failure(kind, `wrong key for ${label}: ${message}.${intact}`, {
      cause: failure,
      hint: hintFor(failure, manifest, format),
    });
  }
  return kind === 'damaged' ? new Failure(kind, `${label} is damaged: ${message}`, { cause: failure }) : failure;
}

function hintFor({ hint }: Failure, manifest: VerifiedManifest | null, format: EnvelopeFormat): string {
  if (format === 'age') return 'It was sealed to other recipients. Give the key of one of them.';
  // Without a manifest, nothing tells a wrong key from damage.
  const sealedWith = 'Give the Restic key that it was sealed with.';
  return manifest === null ? (hint ?? sealedWith) : sealedWith;
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
