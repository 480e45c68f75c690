import { isArmoredAge, isBinaryAge } from './age-magic.js';

/** Bytes of a file's beginning that are looked at to tell plaintext from ciphertext: in these a signature may lie. */
export const plainHeadSize = 512;
/** Bytes of a file's beginning that are text, or are not. */
const textSpan = 64;

/** Beginnings of files in hexadecimal, each at least 33 bits, so that chance does not write them. */
const signatures: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['gzip', /^1f8b08[01].{9}(00|02|04)(0[0-9a-d]|ff)/],
  ['zip', /^504b0304[0-3]/],
  ['zip', /^504b0506(00){8}/],
  ['zstd', /^28b52ffd.[0-7]/],
  ['zstd', /^502a4d1804000000/],
  ['xz', /^fd377a585a00/],
  ['bzip2', /^425a683[1-9](314159265359|177245385090)/],
  ['lz4', /^04224d18[4-7]/],
  ['lzip', /^4c5a495001/],
  ['lzop', /^894c5a4f000d0a1a0a/],
  ['7z', /^377abcaf271c/],
  ['rar', /^526172211a07/],
  ['tar', /^.{514}7573746172/],
  ['cpio', /^30373037303[127]/],
  ['Debian package', /^213c617263683e0a/],
  ['RPM package', /^edabeedb0[34]/],
  ['pg_dump', /^5047444d50/],
  ['SQLite database', /^53514c69746520666f726d6174203300/],
  ['Redis dump', /^5245444953(3[0-9]){4}/],
  ['btrfs stream', /^62747266732d73747265616d/],
  ['disk image (qcow2)', /^514649fb000000/],
  ['PDF', /^255044462d/],
  ['ELF program', /^7f454c460[12]0[12]01/],
  ['PNG', /^89504e470d0a1a0a/],
  ['JPEG', /^ffd8ffe[01].{4}(4a464946|45786966)/],
  ['zeros', /^(00){32}/],
];

/**
 * What a file that begins with `head` (512 bytes, or the whole file) plainly is: `gzip`, `tar`, `text` …; null when it
 * looks like ciphertext. An age file is ciphertext, in armor too. A file of random bytes, of 32 or more, is taken for
 * plaintext less than once in 3 * 10^9 times: the sum over the signatures (zstd, 1.2 * 10^-10, is the likeliest) and
 * the text rule, 6 * 10^-11. No envelope makes a file shorter than that.
 */
export function plaintextKind(head: Uint8Array): string | null {
  if (head.length === 0) return 'an empty file';
  if (isBinaryAge(head) || isArmoredAge(head)) return null;
  const bytes = Buffer.from(head.subarray(0, plainHeadSize));
  const hex = bytes.toString('hex');
  return signatures.find(([, pattern]) => pattern.test(hex))?.[0] ?? textKind(bytes.subarray(0, textSpan));
}

/**
 * Text in UTF-8, or in another encoding that is mostly ASCII: one character in 8 beyond the first 32 bytes may be none.
 * A random byte is part of a valid character in less than half the cases, so 32 of them are text once in 2 * 10^10.
 */
function textKind(bytes: Buffer): string | null {
  const text = new TextDecoder().decode(bytes, { stream: true });
  const strays = text.match(/[\p{Cc}\uFFFD]/gu)?.filter((character) => !/\s/.test(character)).length ?? 0;
  if (strays > Math.max(0, bytes.length - 32) / 8) return null;
  if (/^\s*<(!doctype html|html)/i.test(text)) return 'HTML';
  if (/^\s*<\?xml/.test(text)) return 'XML';
  if (/^\s*[{[]/.test(text)) return 'JSON';
  if (/^(%YAML|---)\s/.test(text)) return 'YAML';
  return 'text';
}
