import type { Identity } from '../../mesh/identity/identity.js';
import { provenEpoch } from '../../mesh/identity/node-certificate.js';
import type { NewestKey } from './bare.js';

/** How far ahead of this machine's clock an epoch may be that nobody proves. */
const longestUnproven = 86_400_000;

/**
 * The newest epoch of an identity that is to be believed. A certificate that the identity issued proves its epoch. A peer of
 * an older version sends none: what it says counts up to a day ahead of now, so that no peer can use up the epochs there are.
 * @param keys what peers say of the newest node key
 * @param certificates others of the identity, as manifests bring them
 * @returns milliseconds since 1970; 0 for none
 */
export function epochToBeat(
  identity: Identity,
  keys: readonly NewestKey[],
  certificates: readonly Uint8Array[],
  now: number,
): number {
  const shown = [...certificates, ...keys.map(({ certificate }) => certificate)];
  const proven = shown.map((certificate) => provenEpoch(certificate, identity));
  const plausible = keys.map(({ epoch }) => epoch).filter((epoch) => epoch <= now + longestUnproven);
  return [...proven, ...plausible].reduce((newest, epoch) => Math.max(newest, epoch), 0);
}
