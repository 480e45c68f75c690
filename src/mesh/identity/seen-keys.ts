import { dirname } from 'node:path';
import { withOwnerHint } from '../files/owner-hint.js';
import { readSmallFile } from '../files/read-small-file.js';
import { Failure } from '../terms/failure.js';
import type { Hostname } from '../terms/hostname.js';
import { isMoment } from '../terms/moment.js';
import { shellWord } from '../terms/shell-word.js';
import { parseIdentity } from './identity.js';
import { type NodeCertificate, verifyWhateverEpoch } from './node-certificate.js';

/** What `.state/epochs.json` has of each identity. */
interface SeenKey {
  readonly epoch: number;
  /** Fingerprint of the node key. */
  readonly key: string;
  /** In base64. */
  readonly certificate: string;
}

/**
 * The newest node key that a node has seen of each identity; none where there is no such file.
 * @throws Failure `damaged` when the file is there and cannot be read
 */
export async function readSeenKeys(file: string): Promise<Map<string, NodeCertificate>> {
  try {
    const entries: unknown = JSON.parse((await readSmallFile(file)).toString());
    if (typeof entries !== 'object' || entries === null || Array.isArray(entries)) throw new Error('it is no object');
    return new Map(Object.entries(entries).map(([identity, entry]) => [identity, parseSeenKey(identity, entry)]));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return new Map();
    const hint =
      `It remembers which node keys are superseded. Move it away: mv ${shellWord(file)} ${shellWord(`${file}.damaged`)}; then ` +
      'start the node. The former, lost or stolen key of a rebuilt server is let in too until that has called again: run ' +
      '`anemone-peer backup` there.';
    const failure = new Failure('damaged', `${file} cannot be read: ${Failure.from(cause).message}`, {
      cause,
      hint: code === 'EACCES' ? undefined : hint,
    });
    throw await withOwnerHint(failure, dirname(file));
  }
}

/** The bytes of that file. */
export function formatSeenKeys(seen: ReadonlyMap<string, NodeCertificate>): string {
  const entries = [...seen].map(([identity, { epoch, fingerprint: key, der }]): [string, SeenKey] => {
    return [identity, { epoch, key, certificate: der.toString('base64') }];
  });
  return `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`;
}

/**
 * What the certificate does not prove is not believed: one flipped bit would lock the right key out for good, or let an older
 * one in again.
 */
function parseSeenKey(identity: string, { epoch, key, certificate }: Partial<SeenKey>): NodeCertificate {
  const proven = verifyWhateverEpoch(Buffer.from(String(certificate), 'base64'), parseIdentity(identity));
  if (proven.epoch === epoch && proven.fingerprint === key) return proven;
  throw new Error(`what it has of ${identity} is not what the certificate says`);
}

/** Two keys of one epoch cannot both be the server. */
export function isSameKey(a: NodeCertificate, b: NodeCertificate): boolean {
  return a.epoch === b.epoch && a.fingerprint === b.fingerprint;
}

/**
 * Whether a key that was seen of the same identity locks this one out. Version 0.1.0 took keys of any epoch: one that no calendar
 * has is refused now, and the key that its server comes back with is newer.
 */
export function locksOut(newest: NodeCertificate, certificate: NodeCertificate): boolean {
  return isMoment(newest.epoch) && certificate.epoch <= newest.epoch && !isSameKey(certificate, newest);
}

/**
 * A server that was rebuilt is called where it was before, and the lost machine may answer there still: it has the same VPN key.
 * @param newest the newest node key that was seen of the peer
 * @throws Failure `untrusted` when that one locks the key of whoever answers out
 */
export function refuseSuperseded(
  { name }: { readonly name: Hostname },
  certificate: NodeCertificate,
  newest: NodeCertificate | undefined,
): void {
  if (newest === undefined || !locksOut(newest, certificate)) return;
  throw new Failure('untrusted', `a superseded node key answers there: ${name} was rebuilt with a newer one`, {
    // The rebuilt one may be there again at the next try.
    retryable: true,
    hint:
      `Find out which machine answers there. If it is the one that was lost or stolen, give the rebuilt ${name} a VPN key of its ` +
      'own, and take the former one out on every server. If it is the right one, bring it back with `anemone-peer restore` there.',
  });
}
