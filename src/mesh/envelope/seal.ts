import { ageSealer } from './age.js';
import { cbc1Sealer } from './anemone-cbc1.js';
import type { Sealer } from './envelope.js';

export type Encryption =
  | { readonly format: 'age'; readonly recipients: readonly string[] }
  | { readonly format: 'anemone-cbc1'; readonly keyText: string };

/**
 * What seals backups as configured.
 * @throws Failure `config` when nobody could open it
 */
export function sealerFor(encryption: Encryption): Sealer {
  return encryption.format === 'age' ? ageSealer(encryption.recipients) : cbc1Sealer(encryption.keyText);
}
