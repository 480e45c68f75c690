import type { Family } from './row.js';
import { list, startup } from './rows/command-line.js';
import { links, loss } from './rows/links.js';
import { seal } from './rows/sealing.js';
import { fanOut, manners, slowPeers } from './rows/several-peers.js';
import { manyHeld, small } from './rows/small-backups.js';
import { fetch, proof, push } from './rows/transfer.js';

/** Everything that is measured, in the order of the table. */
export const families: readonly Family[] = [
  push,
  fetch,
  proof,
  links,
  loss,
  fanOut,
  slowPeers,
  small,
  seal,
  list,
  manyHeld,
  startup,
  manners,
];
