import * as v from 'valibot';
import { kitSet, parseSetName } from '../terms/backup-name.js';
import { Failure } from '../terms/failure.js';
import { isMapping, listed, type Report, reporter, section } from './section.js';
import {
  address,
  count,
  duration,
  explain,
  flag,
  hostname,
  identity,
  oneOf,
  path,
  pattern,
  recipient,
  schedule,
  size,
  text,
  timeout,
  timezone,
  uploadLimit,
  url,
} from './values.js';

/** A part that may be absent, or empty because every line in it is a comment. */
function optionalSection<S extends v.GenericSchema>(schema: S) {
  return v.nullish(schema, {});
}

const serverSchema = section({
  name: hostname,
  listen: v.optional(address, '0.0.0.0:7443'),
  data: v.optional(path, './config-backups'),
  logs: v.optional(path, './logs'),
  socket: v.optional(path),
});

const peerSchema = section(
  {
    name: hostname,
    vpn_ip: address,
    identity: v.optional(identity),
    enabled: v.optional(flag, true),
    quota: v.optional(size, '10GB'),
    reads: v.nullish(v.array(hostname), []),
  },
  (peer, report) => {
    if (peer['enabled'] !== false && peer['identity'] === undefined) {
      report(
        [],
        'has no identity. Run `anemone-peer identity` on that server, and write what it shows, or `enabled: false`',
      );
    }
  },
);

const setSchema = section(
  {
    paths: v.optional(v.pipe(v.array(path), v.nonEmpty('is an empty list. Name the files and folders to back up'))),
    exclude: v.nullish(v.array(pattern)),
    url: v.optional(url),
    credentials_file: v.optional(path),
    command: v.optional(
      v.pipe(v.array(text('a word of the command, as text')), v.nonEmpty('is an empty list. Write a program')),
    ),
    timeout: v.optional(timeout),
    sealed: v.optional(flag, false),
  },
  (set, report) => {
    const sources = ['paths', 'url', 'command'].filter((key) => key in set);
    if (sources.length !== 1) {
      const found = sources.length === 0 ? 'has no source' : `has ${sources.length} sources, ${listed(sources)}`;
      report([], `${found}. A set has exactly one of paths, url and command`);
      return;
    }
    const only = (key: string, ...kinds: readonly string[]): void => {
      const fits = kinds.includes(sources[0] ?? '');
      if (set[key] !== undefined && !fits) report([key], `goes with ${kinds.join(' or ')} only. Remove it`);
    };
    only('exclude', 'paths');
    only('credentials_file', 'url');
    only('timeout', 'url', 'command');
    if (set['sealed'] === true) only('sealed', 'url', 'command');
  },
);

const setName = v.pipe(
  v.string(),
  v.rawCheck(({ dataset, addIssue }) => {
    try {
      if (!dataset.typed) return;
      if (parseSetName(dataset.value) === kitSet)
        throw new Failure('config', 'is the set of the kit, which every run makes');
    } catch (thrown) {
      addIssue({ message: explain(Failure.from(thrown)) });
    }
  }),
);

const encryptionSchema = section(
  {
    format: v.optional(oneOf('age', 'anemone-cbc1'), 'age'),
    recipients: v.nullish(v.array(recipient), []),
    password_file: v.optional(path),
  },
  (encryption, report) => {
    if (encryption['format'] === 'anemone-cbc1' && encryption['password_file'] === undefined) {
      report([], 'has no password_file. The format anemone-cbc1 reads its key text from a file: name it');
    }
  },
);

/** The schedule where none is written. */
export const everyNight = '0 2 * * *';

const backupSchema = section(
  {
    schedule: v.optional(schedule, everyNight),
    timezone: v.optional(timezone, 'UTC'),
    jitter: v.optional(duration, '5m'),
    mode: v.optional(oneOf('incremental', 'always'), 'incremental'),
    sets: v.nullish(v.record(setName, setSchema), {}),
    encryption: optionalSection(encryptionSchema),
  },
  ({ sets, encryption }, report) => {
    if (!isMapping(sets) || !isMapping(encryption)) return;
    const { format, recipients } = encryption;
    const open = Object.entries(sets).find(([, set]) => isMapping(set) && set['sealed'] !== true);
    if (open === undefined || format !== 'age' || !Array.isArray(recipients) || recipients.length > 0) return;
    report(
      ['encryption', 'recipients'],
      `is missing, and the set \`${open[0]}\` would be sealed to nobody. The kit of this server, anemone-kit-….txt, says to whom: \`sealed to age1…\`. Write [age1…]`,
    );
  },
);

/** Which backups to keep. A key that is not written keeps its default, so that a rule can be added without losing one. */
function keepSchema(defaults: Readonly<Record<'last' | 'daily' | 'weekly' | 'monthly' | 'days', number>>) {
  return section(
    {
      keep_last: v.optional(count, defaults.last),
      keep_daily: v.optional(count, defaults.daily),
      keep_weekly: v.optional(count, defaults.weekly),
      keep_monthly: v.optional(count, defaults.monthly),
      minimum_days: v.optional(count, defaults.days),
    },
    (keep, report) => {
      const rules = ['keep_last', 'keep_daily', 'keep_weekly', 'keep_monthly'];
      if (rules.every((rule) => keep[rule] === 0)) {
        report(
          [],
          'keeps nothing: in time every backup would be removed. Give one of the keep_ rules a number above 0',
        );
      }
    },
  );
}

/** The configuration file, after older spellings were replaced. Defaults stand here, but those that follow from the rest of it. */
export const configSchema = section(
  {
    server: serverSchema,
    peers: v.nullish(
      v.pipe(
        v.array(peerSchema),
        v.rawCheck(({ dataset, addIssue }) => reportTwins(dataset.value, reporter(dataset.value, addIssue))),
      ),
      [],
    ),
    backup: optionalSection(backupSchema),
    retention: optionalSection(
      section({
        local: optionalSection(keepSchema({ last: 7, daily: 0, weekly: 0, monthly: 0, days: 0 })),
        peers: optionalSection(keepSchema({ last: 3, daily: 7, weekly: 4, monthly: 6, days: 7 })),
      }),
    ),
    limits: optionalSection(section({ upload: v.optional(uploadLimit, 0), minimum_free: v.optional(size, '1GB') })),
    vpn: optionalSection(section({ config: v.nullish(v.array(path)) })),
  },
  ({ server, peers }, report) => {
    const own = isMapping(server) && typeof server['name'] === 'string' ? server['name'].toLowerCase() : undefined;
    for (const [index, peer] of (Array.isArray(peers) ? peers : []).entries()) {
      if (!isMapping(peer) || typeof peer['name'] !== 'string' || peer['name'].toLowerCase() !== own) continue;
      report(
        ['peers', index, 'name'],
        'is the name of this server itself. Remove this peer, or correct one of the names',
      );
    }
  },
);

export type ConfigFile = v.InferOutput<typeof configSchema>;

/** Two peers with one name or one identity; names that differ in case only would share a folder on some disks. */
function reportTwins(peers: unknown, report: Report): void {
  if (!Array.isArray(peers)) return;
  for (const key of ['name', 'identity'] as const) {
    const seen = new Map<string, number>();
    for (const [index, peer] of peers.entries()) {
      const written: unknown = isMapping(peer) ? peer[key] : undefined;
      if (typeof written !== 'string' || written === '') continue;
      const same = key === 'name' ? written.toLowerCase() : written;
      const first = seen.get(same);
      if (first === undefined) seen.set(same, index);
      else report([index, key], `is also the ${key} of peers[${first}]. Every peer has its own`);
    }
  }
}
