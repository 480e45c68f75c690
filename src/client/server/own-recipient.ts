import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../../mesh/files/replace-file.js';
import type { Identity } from '../../mesh/identity/identity.js';

/** Where a server keeps the public age key that its own recovery key opens, which nothing else on it tells. */
export function ownRecipientFile(state: string): string {
  return join(state, 'recipient');
}

/** Keeps it with the identity that it belongs to: this folder may become that of another server. */
export function keepOwnRecipient(state: string, identity: Identity, recipient: string): Promise<void> {
  return replaceFile(ownRecipientFile(state), `${identity} ${recipient}\n`);
}

/** Null where it is not known, as on a server that version 0.1.0 made or rebuilt. */
export async function readOwnRecipient(state: string, identity: Identity): Promise<string | null> {
  const text = await readFile(ownRecipientFile(state), 'utf8').catch(() => '');
  const [of, recipient] = text.trim().split(' ');
  return of === identity && recipient !== undefined ? recipient : null;
}
