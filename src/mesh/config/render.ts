import { stringify } from 'yaml';
import { type Address, formatAddress } from '../terms/address.js';
import type { Config, KeepRules, SetConfig } from './config.js';
import { formatUploadLimit } from './upload-limit.js';

export interface StartingConfig {
  readonly name: string;
  readonly listen: Address;
  /** Public age keys that can open the backups. */
  readonly recipients: readonly string[];
  /** What to back up at first. */
  readonly paths: readonly string[];
  /** IANA name of the time zone of the machine. */
  readonly timezone: string;
}

/** The text of the configuration that `init` writes: what a server needs, and what most people change, explained. */
export function renderStartingConfig({ name, listen, recipients, paths, timezone }: StartingConfig): string {
  return `# The configuration of this server. After a change: \`anemone-peer config validate\`.
# Every other key and its default: config/example.yaml of anemone-peer.

server:
  name: ${scalar(name)}
  listen: ${scalar(formatAddress(listen))}
  data: ./config-backups
  logs: ./logs

# The servers that keep backups for each other. \`anemone-peer peer add\` fills this list; the running node follows.
peers: []

backup:
  schedule: "0 2 * * *" # minute, hour, day, month, weekday; a missed run is caught up
  timezone: ${scalar(timezone)}
  sets:
    backup:
      paths:
${items(paths, 8)}
  encryption:
    # Public keys. What opens the backups is derived from the recovery key, which is not on this server.
    recipients:
${items(recipients, 6)}

retention:
  # This server's own backups.
  local: { keep_last: 7 }
  # What this server keeps for each peer.
  peers: { keep_last: 3, keep_daily: 7, keep_weekly: 4, keep_monthly: 6, minimum_days: 7 }
`;
}

function items(values: readonly string[], indent: number): string {
  return values.map((value) => `${' '.repeat(indent)}- ${scalar(value)}`).join('\n');
}

function scalar(value: string): string {
  return stringify(value, { lineWidth: 0, defaultStringType: 'PLAIN' }).trimEnd();
}

/** The effective configuration in the spelling of the file, with every default written out; it holds no secret. */
export function describeConfig(config: Config): Record<string, unknown> {
  const { server, peers, backup, retention, limits, vpn } = config;
  return {
    server: { ...server, listen: formatAddress(server.listen) },
    peers: peers.map(({ name, address, identity, ...peer }) => ({
      name,
      vpn_ip: formatAddress(address),
      ...(identity === null ? {} : { identity }),
      ...peer,
    })),
    backup: {
      ...backup,
      schedule: backup.schedule ?? 'never',
      sets: Object.fromEntries(backup.sets.map((set) => [set.name, describeSet(set)])),
      encryption:
        backup.encryption.format === 'age'
          ? backup.encryption
          : { format: backup.encryption.format, password_file: backup.encryption.passwordFile },
    },
    retention: { local: describeKeep(retention.local), peers: describeKeep(retention.peers) },
    limits: { upload: formatUploadLimit(limits.upload), minimum_free: limits.minimumFree },
    ...(vpn.config === null ? {} : { vpn: { config: vpn.config } }),
  };
}

/** {@link describeConfig} as YAML that loads again as the same configuration. */
export function renderConfig(config: Config): string {
  return stringify(describeConfig(config), { lineWidth: 0, aliasDuplicateObjects: false });
}

function describeSet({ source, sealed }: SetConfig): Record<string, unknown> {
  switch (source.kind) {
    case 'paths':
      return { paths: source.paths, exclude: source.exclude };
    case 'url':
      return {
        url: source.url,
        ...(source.credentialsFile === null ? {} : { credentials_file: source.credentialsFile }),
        timeout: source.timeout,
        sealed,
      };
    case 'command':
      return { command: source.command, timeout: source.timeout, sealed };
  }
}

function describeKeep(rules: KeepRules): Record<string, number> {
  return {
    keep_last: rules.keepLast,
    keep_daily: rules.keepDaily,
    keep_weekly: rules.keepWeekly,
    keep_monthly: rules.keepMonthly,
    minimum_days: rules.minimumDays,
  };
}
