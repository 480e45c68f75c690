import { badDay } from './bad-day.js';
import { bitFlips } from './bit-flips.js';
import { diskCalls } from './disk-calls.js';
import { killed } from './killed.js';
import { link } from './link.js';
import { malformed } from './malformed.js';
import { powerCuts, withoutFolderSync } from './power-cuts.js';
import { simulatedMesh } from './simulated-mesh.js';
import { systemCalls } from './system-calls.js';
import type { Kind } from './tally.js';

export const kinds: readonly Kind[] = [
  killed,
  powerCuts,
  withoutFolderSync,
  diskCalls,
  systemCalls,
  link,
  bitFlips,
  malformed,
  simulatedMesh,
  badDay,
];
