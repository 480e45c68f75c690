import type { Command } from 'commander';
import type { Run } from './declare.js';

/** The commands that look at backups and bring a server back. */
export function declareRecovery(_program: Command, _run: Run): void {}
