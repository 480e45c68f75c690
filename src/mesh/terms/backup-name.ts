import { Failure } from './failure.js';
import { type Hostname, parseHostname } from './hostname.js';

/**
 * The name of a backup, as the predecessor wrote it: `anemone-<SET>-<OWNER>-<YYYYMMDD>-<HHMMSS>.enc`, in UTC.
 * A set has no hyphen and the time has a fixed shape, so an owner with hyphens reads back unambiguously.
 */
export interface BackupName {
  readonly owner: Hostname;
  readonly set: string;
  /** When the backup was made by its owner's clock, in milliseconds since 1970; whole seconds. */
  readonly time: number;
}

/** The set that the predecessor's names spell: `anemone-backup-…`. */
export const defaultSet = 'backup';

/** The set in which a server's kit travels to its peers. Its backups are sealed texts, and no configuration names it. */
export const kitSet = 'kit';

const setPattern = /^[a-z][a-z0-9_]{0,31}$/;
const namePattern = /^anemone-([a-z][a-z0-9_]{0,31})-(.+)-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)\.enc$/;

/** @throws Failure `invalid` */
export function parseSetName(text: string): string {
  if (!setPattern.test(text)) {
    throw new Failure('invalid', `${JSON.stringify(text.slice(0, 80))} is not the name of a set`, {
      hint: 'A set has 1 to 32 lower-case letters, digits and underscores, and starts with a letter.',
    });
  }
  return text;
}

export function formatBackupName(name: BackupName): string {
  const iso = new Date(name.time).toISOString();
  const date = iso.slice(0, 10).replaceAll('-', '');
  const time = iso.slice(11, 19).replaceAll(':', '');
  return `anemone-${name.set}-${name.owner}-${date}-${time}.enc`;
}

/**
 * Reads a backup's file name; only the exact spelling that {@link formatBackupName} gives is accepted, so a name is
 * always one safe path component.
 * @throws Failure `invalid`
 */
export function parseBackupName(text: string): BackupName {
  const [, set = '', owner = '', ...time] = namePattern.exec(text) ?? [];
  const [year, month, day, hour, minute, second] = time.map(Number);
  if (year === undefined || month === undefined) {
    throw new Failure('invalid', `${JSON.stringify(text.slice(0, 120))} is not the name of a backup`, {
      hint: 'A backup is called anemone-<SET>-<HOST>-<YYYYMMDD>-<HHMMSS>.enc.',
    });
  }
  const name = { owner: parseHostname(owner), set, time: Date.UTC(year, month - 1, day, hour, minute, second) };
  if (formatBackupName(name) !== text) {
    throw new Failure('invalid', `${JSON.stringify(text)} does not name a moment that exists`);
  }
  return name;
}
