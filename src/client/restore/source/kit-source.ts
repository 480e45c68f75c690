import { resolve } from 'node:path';
import type { DerivedKeys } from '../../../mesh/identity/recovery-key.js';
import { type Kit, largestKit, type VpnFile } from '../../../mesh/kit/kit.js';
import { parseKit } from '../../../mesh/kit/parse-kit.js';
import { openVpn } from '../../../mesh/kit/seal-vpn.js';
import { type SignedKit, verifyKit } from '../../../mesh/kit/signed-kit.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Context } from '../../session/context.js';
import type { Keys } from '../opening/keys.js';
import { openForRestore } from '../opening/sealed-file.js';

/** A kit that its server is known to have made, and its VPN configuration in the clear. */
export interface OpenedKit {
  readonly kit: Kit;
  readonly vpn: readonly VpnFile[];
}

/** A kit as it lies on disk: nothing proves yet what it says. */
export interface KitFile {
  readonly signed: SignedKit;
  readonly path: string;
}

/** @throws Failure `not-found`; `damaged` */
export async function readKitFile({ cwd }: Context, file: string): Promise<KitFile> {
  const path = resolve(cwd, file);
  return { signed: parseKit(await readBytes(path), path), path };
}

/**
 * Opens a kit with the recovery key, which is asked for.
 * @throws Failure `wrong-key` for the key of another server; `untrusted` for a changed kit
 */
export async function openKitFile(
  context: Context,
  { signed, path }: KitFile,
  keys: Keys,
): Promise<OpenedKit & { readonly derived: DerivedKeys }> {
  const { server, peers } = signed.kit;
  const names = peers.map(({ name }) => name).join(', ');
  context.screen.note(
    `${path} is the kit of ${server}. ${names === '' ? 'It names no peers.' : `Its peers: ${names}.`}`,
  );
  const derived = await keys.recoveryKey(({ identity }) => {
    const other = peers.find((peer) => peer.identity === identity);
    // Verified here, so that a person who gave the wrong key is asked again.
    if (other === undefined) return void verifyKit(signed, identity, path);
    throw new Failure('wrong-key', `this is the recovery key of ${other.name}, and the kit is of ${server}`, {
      hint: `Give the key of ${server}, or the kit of ${other.name}.`,
    });
  });
  const { kit } = signed;
  return { kit, derived, vpn: await vpnIfItOpens(context, kit, derived, keys) };
}

/** The recipients of a kit need not be the server's own key, and who is in the VPN already can do without its files. */
async function vpnIfItOpens(
  { screen }: Context,
  kit: Kit,
  derived: DerivedKeys,
  keys: Keys,
): Promise<readonly VpnFile[]> {
  try {
    return await vpnOf(kit, derived);
  } catch (thrown) {
    if (Failure.from(thrown).kind !== 'wrong-key') throw thrown;
  }
  const why = 'the VPN configuration of the kit opens with another key than the recovery key';
  try {
    const other = await keys.otherKey(why);
    if (other !== null) return await vpnOf(kit, other);
  } catch (thrown) {
    if (Failure.from(thrown).kind !== 'wrong-key') throw thrown;
  }
  screen.warn(`${why}: the restore goes on without it. The kit says how to open it by hand.`);
  return [];
}

/** The kit in the text that came from a peer as a backup, which was verified and opened. */
export async function openKitText(text: Uint8Array, label: string, derived: DerivedKeys): Promise<OpenedKit> {
  const kit = verifyKit(parseKit(text, label), derived.identity, label);
  return { kit, vpn: await vpnOf(kit, derived) };
}

async function vpnOf({ vpn }: Kit, { ageIdentity }: Pick<DerivedKeys, 'ageIdentity'>): Promise<readonly VpnFile[]> {
  return vpn.kind === 'open' ? vpn.files : openVpn(vpn.armor, vpn.files, ageIdentity);
}

async function readBytes(path: string): Promise<Buffer> {
  const file = await openForRestore(path, 'Without a kit: restore --server HOST --peer ADDRESS');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(largestKit + 1), 0, largestKit + 1, 0);
    return buffer.subarray(0, bytesRead);
  } catch (thrown) {
    throw Failure.from(thrown, path);
  } finally {
    await file.close();
  }
}
