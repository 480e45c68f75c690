import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';

/** Why a holder gives nothing more, as messages say it. */

export function wrongLength(holder: Holder, { facts }: VerifiedManifest, does: string): Failure {
  return new Failure('damaged', `${holder.described} ${does} the ${facts.size} bytes of ${facts.name}`);
}

export function blamed(holder: Holder, { facts }: VerifiedManifest): Failure {
  return new Failure('damaged', `${holder.described} sent other bytes than the manifest of ${facts.name} says`);
}

export function tooSlow(holder: Holder, { facts }: VerifiedManifest): Failure {
  return new Failure('timeout', `${holder.described} sends ${facts.name} too slowly, and others have it too`);
}

export function silentAbout(holder: Holder, { facts }: VerifiedManifest): Failure {
  return new Failure('timeout', `${holder.described} does not answer about ${facts.name}, and another peer did`);
}

/** Why nobody gives anything more. */
export function gaveUp({ facts }: VerifiedManifest, failures: ReadonlyMap<Holder, Failure>): Failure {
  const reasons = [...failures.values()];
  const isDamage = reasons.length > 0 && reasons.every(({ kind }) => kind === 'damaged');
  const why = reasons.map((failure) => failure.message).join('; ');
  // What does not pass by itself says what to do.
  const mend = reasons.find(({ retryable, hint }) => !retryable && hint !== undefined)?.hint;
  return new Failure(isDamage ? 'damaged' : 'unreachable', `${facts.name} could not be fetched: ${why}`, {
    hint: isDamage ? 'Choose another backup.' : (mend ?? 'Try again when a peer that holds it can be reached.'),
  });
}
