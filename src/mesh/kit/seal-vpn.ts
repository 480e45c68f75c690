import { armor } from 'age-encryption';
import { parse, stringify } from 'yaml';
import { ageSealer } from '../envelope/age.js';
import { openEnvelope } from '../envelope/open.js';
import { Failure } from '../terms/failure.js';
import { largestKit, type VpnFile, yamlOfKit } from './kit.js';

/**
 * The files as an age file in armor. Opened by hand, it is a text with the path and the content of each.
 * @param recipients at least one public age key
 */
export async function sealVpn(files: readonly VpnFile[], recipients: readonly string[]): Promise<string> {
  const text = stringify(
    files.map(({ path, content }) => ({ path, content })),
    yamlOfKit,
  );
  const sealed = await collect(ageSealer(recipients).seal(one(Buffer.from(text))));
  return armor.encode(sealed);
}

/**
 * The files in the armor of a kit that was found genuine.
 * @throws Failure `wrong-key` when the kit was sealed to others, `damaged`
 */
export async function openVpn(
  armored: string,
  announced: readonly Omit<VpnFile, 'content'>[],
  ageIdentity: string,
): Promise<readonly VpnFile[]> {
  const { plaintext } = await openEnvelope(one(Buffer.from(armored)), { ageIdentities: [ageIdentity] }, 'age');
  const text = (await collect(plaintext)).toString('utf8');
  const files: unknown = parse(text, { maxAliasCount: 0 });
  return announced.map(({ path, size }, index) => {
    const content: unknown = Array.isArray(files) ? files[index]?.content : undefined;
    if (typeof content === 'string' && Buffer.byteLength(content) === size) return { path, size, content };
    throw new Failure('damaged', `the VPN configuration of the kit is damaged: ${path} is not in it`);
  });
}

async function* one(bytes: Buffer): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > largestKit) throw new Failure('damaged', 'the VPN configuration of the kit is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
