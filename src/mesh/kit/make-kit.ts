import type { Config } from '../config/config.js';
import type { Signer } from '../identity/signer.js';
import { Failure } from '../terms/failure.js';
import { factsOf, type Kit, type KitVpn, type MissingVpn } from './kit.js';
import { parseKit } from './parse-kit.js';
import { renderKit } from './render-kit.js';
import { sealVpn } from './seal-vpn.js';
import { signKit, verifyKit } from './signed-kit.js';
import { type FoundVpn, findVpn, unreadable } from './vpn-files.js';

export interface MadeKit {
  readonly kit: Kit;
  readonly text: string;
  readonly missing: readonly MissingVpn[];
  /** What this user may not read, so that the kit holds all of the VPN configuration as the former one did. */
  readonly kept: readonly MissingVpn[];
}

/**
 * The kit that is kept as a file: its VPN configuration is sealed to the recipients of the configuration.
 * @param former the kit that it replaces, which was found genuine
 */
export async function makeKit(
  config: Config,
  signer: Signer,
  now: number,
  former: Kit | null = null,
): Promise<MadeKit> {
  const facts = factsOf(config, signer.identity);
  const found = await findVpn(config);
  const kept = former === null ? [] : keptOf(found, former, facts.recipients);
  const { vpn, missing } =
    former !== null && kept.length > 0
      ? { vpn: former.vpn, missing: found.missing.filter((each) => !kept.includes(each)) }
      : await sealed(found, facts.recipients);
  return { ...rendered({ ...facts, vpn }, signer, { folder: config.base, missing, writtenAt: now }), kept };
}

/** What was found for a kit that lies about, where nobody may read it; without recipients it is left out. */
async function sealed(
  { files, missing }: FoundVpn,
  recipients: readonly string[],
): Promise<{ readonly vpn: KitVpn; readonly missing: readonly MissingVpn[] }> {
  if (files.length > 0 && recipients.length > 0) {
    const armor = await sealVpn(files, recipients);
    return { vpn: { kind: 'sealed', files: files.map(({ path, size }) => ({ path, size })), armor }, missing };
  }
  const reason = 'it cannot be sealed, because the configuration names no age recipient';
  return { vpn: { kind: 'open', files: [] }, missing: [...missing, ...files.map(({ path }) => ({ path, reason }))] };
}

/**
 * The kit that travels to the peers as a backup, which is sealed as a whole. Its bytes are the same for as long as nothing
 * changes, so that a run can tell.
 */
export async function makeTravellingKit(config: Config, signer: Signer): Promise<MadeKit> {
  const { files, missing } = await findVpn(config);
  const kit: Kit = { ...factsOf(config, signer.identity), vpn: { kind: 'open', files } };
  return rendered(kit, signer, { folder: config.base, missing, writtenAt: null });
}

/**
 * Nobody may learn on the worst day that a kit cannot be read: it is read here.
 * @throws Failure `failed`
 */
function rendered(kit: Kit, signer: Signer, circumstances: Parameters<typeof renderKit>[1]): MadeKit {
  const text = renderKit(signKit(kit, signer), circumstances);
  try {
    verifyKit(parseKit(Buffer.from(text), 'it'), signer.identity, 'it');
  } catch (cause) {
    const { message } = Failure.from(cause);
    throw new Failure('failed', `the kit of ${kit.server} is not written, because nobody could read it: ${message}`, {
      cause,
      hint: 'If its VPN configuration is to blame, name the files that it is to hold with vpn.config.',
    });
  }
  return { kit, text, missing: circumstances.missing, kept: [] };
}

/** What only the former kit holds: sealed to the same recipients, all of it is one piece that nobody opens without their key. */
function keptOf({ missing }: FoundVpn, { vpn, recipients }: Kit, now: readonly string[]): readonly MissingVpn[] {
  if (vpn.kind !== 'sealed' || recipients.join() !== now.join()) return [];
  return missing.filter(
    ({ path, reason }) =>
      reason === unreadable && vpn.files.some((file) => file.path === path || file.path.startsWith(`${path}/`)),
  );
}
