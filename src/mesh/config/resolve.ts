import { resolve } from 'node:path';
import type { Config, EncryptionConfig, KeepRules, SetConfig, SourceConfig } from './config.js';
import { baseOf } from './find.js';
import { type ConfigFile, everyNight } from './schema.js';

/** Seconds without a byte before an export is given up. */
const exportTimeout = 60;
/** Seconds that a command may run. */
const commandTimeout = 3600;

/** The typed result: paths absolute, every part of it filled in. `parsed` has been found right. */
export function resolveConfig(file: string, parsed: ConfigFile): Config {
  const base = baseOf(file);
  const absolute = (path: string): string => resolve(base, path);
  const { server, backup, retention, limits, vpn } = parsed;
  const data = absolute(server.data);
  return {
    file: resolve(file),
    base,
    server: {
      ...server,
      data,
      logs: absolute(server.logs),
      socket: server.socket === undefined ? resolve(data, '.state/node.sock') : absolute(server.socket),
    },
    peers: parsed.peers.map(({ vpn_ip: address, identity = null, ...peer }) => ({ ...peer, address, identity })),
    backup: {
      ...backup,
      // Retention, reading again and healing happen in runs, and who has no sets asks for none.
      schedule: backup.schedule ?? (Object.keys(backup.sets).length === 0 ? everyNight : null),
      sets: Object.entries(backup.sets).map(([name, set]) => resolveSet(name, set, absolute)),
      encryption: resolveEncryption(backup.encryption, absolute),
    },
    retention: { local: keepRules(retention.local), peers: keepRules(retention.peers) },
    limits: { upload: limits.upload, minimumFree: limits.minimum_free },
    vpn: { config: vpn.config?.map(absolute) ?? null },
  };
}

type SetFile = ConfigFile['backup']['sets'][string];

function resolveSet(name: string, set: SetFile, absolute: (path: string) => string): SetConfig {
  return { name, sealed: set.sealed, source: resolveSource(set, absolute) };
}

function resolveSource(set: SetFile, absolute: (path: string) => string): SourceConfig {
  const [program, ...words] = set.command ?? [];
  if (program !== undefined) {
    return { kind: 'command', command: [program, ...words], timeout: set.timeout ?? commandTimeout };
  }
  if (set.url !== undefined) {
    const credentialsFile = set.credentials_file === undefined ? null : absolute(set.credentials_file);
    return { kind: 'url', url: set.url, credentialsFile, timeout: set.timeout ?? exportTimeout };
  }
  return { kind: 'paths', paths: set.paths ?? [], exclude: set.exclude ?? [] };
}

function resolveEncryption(
  encryption: ConfigFile['backup']['encryption'],
  absolute: (path: string) => string,
): EncryptionConfig {
  if (encryption.format === 'age' || encryption.password_file === undefined) {
    return { format: 'age', recipients: encryption.recipients };
  }
  return { format: 'anemone-cbc1', passwordFile: absolute(encryption.password_file) };
}

function keepRules(keep: ConfigFile['retention']['local']): KeepRules {
  return {
    keepLast: keep.keep_last,
    keepDaily: keep.keep_daily,
    keepWeekly: keep.keep_weekly,
    keepMonthly: keep.keep_monthly,
    minimumDays: keep.minimum_days,
  };
}
