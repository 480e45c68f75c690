import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { findConfig } from '../../../src/mesh/config/find.js';
import { loadConfig, parseConfig } from '../../../src/mesh/config/load.js';
import { configSchema } from '../../../src/mesh/config/schema.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const shipped = join(import.meta.dirname, '../../../config');
const identity = 'lfImITEvTjwRH7XjaEfBsT28aH3P/KigH0p/Oq6wslY=';
const otherIdentity = 'ORDChkCPmSAVZfouzygy28xk1sXJBm2kfQbu3qibwIg=';
const recipient = 'age17y46w907m7fqf6ek78zsa29z87e8pkwe6zlejkluja9nztla3v0scrv8jk';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

function put(path: string, content: string | Uint8Array): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

/** A pipe that nobody writes to. */
function pipe(): string {
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  return join(folder, 'pipe');
}

describe('a configuration', () => {
  it('becomes typed values with every default filled in', async () => {
    const { config, hints } = await loadConfig(join(shipped, 'minimal.yaml'));
    const base = dirname(shipped);
    expect(hints).toEqual([]);
    expect(config).toEqual({
      file: join(shipped, 'minimal.yaml'),
      base,
      server: {
        name: 'FR1',
        listen: { host: '10.8.0.1', port: 7443 },
        data: join(base, 'config-backups'),
        logs: join(base, 'logs'),
        socket: join(base, 'config-backups/.state/node.sock'),
      },
      peers: [
        {
          name: 'FR2',
          address: { host: '10.8.0.2', port: 7443 },
          identity,
          enabled: true,
          quota: 10_000_000_000,
          reads: [],
        },
      ],
      backup: {
        schedule: '0 2 * * *',
        timezone: 'UTC',
        jitter: 300,
        mode: 'incremental',
        sets: [{ name: 'backup', sealed: false, source: { kind: 'paths', paths: ['./config'], exclude: [] } }],
        encryption: { format: 'age', recipients: [recipient] },
      },
      retention: {
        local: { keepLast: 7, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, minimumDays: 0 },
        peers: { keepLast: 3, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, minimumDays: 7 },
      },
      limits: { upload: [{ minute: 0, rate: 0 }], minimumFree: 1_000_000_000 },
      vpn: { config: null },
    });
  });

  it('has paths relative to its folder, or to the folder around one called config', () => {
    const data = (file: string): string => parseConfig(file, 'server: { name: FR1, data: ./kept }').config.server.data;
    expect(data('/srv/anemone/config.yaml')).toBe('/srv/anemone/kept');
    expect(data('/srv/anemone/config/config.yaml')).toBe('/srv/anemone/kept');
    expect(data('/config/config.yaml')).toBe('/kept');
  });

  it('reads every source of a set, and a password file for the old format', () => {
    const { config } = parseConfig(
      '/srv/config.yaml',
      `server: { name: FR1 }
backup:
  schedule: never
  jitter: 0
  sets:
    app: { url: "http://api:3000/export", sealed: true, credentials_file: secrets/api }
    db: { command: [pg_dump, app], timeout: 5m }
  encryption: { format: anemone-cbc1, password_file: secrets/key }
`,
    );
    expect(config.backup.schedule).toBeNull();
    expect(config.backup.jitter).toBe(0);
    expect(config.backup.sets.map(({ source }) => source)).toEqual([
      { kind: 'url', url: 'http://api:3000/export', credentialsFile: '/srv/secrets/api', timeout: 60 },
      { kind: 'command', command: ['pg_dump', 'app'], timeout: 300 },
    ]);
    expect(config.backup.encryption).toEqual({ format: 'anemone-cbc1', passwordFile: '/srv/secrets/key' });
  });

  it('needs no recipients when every set is ciphertext already, and says that the kit does', () => {
    const sets = 'sets: { app: { url: "http://api/", sealed: true } }';
    const { hints } = parseConfig('/c.yaml', `server: { name: FR1, listen: 10.8.0.1 }\nbackup: { ${sets} }`);
    expect(hints).toEqual([expect.stringContaining('/c.yaml:2: backup.encryption.recipients is empty: the kit')]);
  });

  it('may leave sections empty, as when every line in them is a comment', () => {
    const empty = 'peers:\nbackup:\nretention:\n  local:\n  peers:\nlimits:\n';
    expect(parseConfig('/c.yaml', `server: { name: FR1 }\n${empty}`).config.retention.local.keepLast).toBe(7);
  });

  it('keeps the defaults of rules that are not written', () => {
    const text = 'server: { name: FR1 }\nretention: { local: { keep_daily: 5 } }';
    expect(parseConfig('/c.yaml', text).config.retention.local).toMatchObject({ keepLast: 7, keepDaily: 5 });
  });

  it('may schedule no backups, and has nights all the same where it only keeps those of its peers', () => {
    const scheduleOf = (sets: string) => {
      const text = `server: { name: FR1, listen: 10.8.0.1 }\nbackup: { schedule: never, sets: ${sets} }\n`;
      return parseConfig('/c.yaml', text).config.backup.schedule;
    };
    expect(scheduleOf('{ export: { url: "http://127.0.0.1/", sealed: true } }')).toBeNull();
    expect(scheduleOf('{}')).toBe('0 2 * * *');
  });

  it('may lack the identity of a peer that is not enabled', () => {
    const text = 'server: { name: FR1 }\npeers: [{ name: FR2, vpn_ip: 10.8.0.2, enabled: false }]';
    expect(parseConfig('/c.yaml', text).config.peers[0]?.identity).toBeNull();
  });

  it('may name a value once and refer to it', () => {
    const text = `server: { name: FR1 }
peers:
  - { name: FR2, vpn_ip: 10.8.0.2, identity: "${identity}", quota: &quota 20GB }
  - { name: US1, vpn_ip: 10.8.0.3, identity: "${otherIdentity}", quota: *quota }`;
    expect(parseConfig('/c.yaml', text).config.peers[1]?.quota).toBe(20e9);
  });

  it('hints at what is right and surprising', () => {
    const text = `server: { name: FR1 }
peers:
  - { name: FR2, vpn_ip: 10.8.0.2, identity: "${identity}", reads: [FR3] }
  - { name: US1, vpn_ip: 10.8.0.3, identity: "${otherIdentity}", reads: [FR3] }`;
    expect(parseConfig('/c.yaml', text).hints).toEqual([
      '/c.yaml:1: backup.sets is empty: nothing of this server is backed up, it only keeps the backups of its peers',
      "/c.yaml:1: server.listen is every address of this machine: write the VPN's, such as 10.8.0.1:7443",
      '/c.yaml:3: peers[0].reads: FR3 is no server of this file',
      '/c.yaml:4: peers[1].reads: FR3 is no server of this file. Did you mean FR2?',
    ]);
  });

  it('takes the former name of a server as one of whom backups are held here', async () => {
    const file = put(
      'config.yaml',
      `server: { name: FR1, listen: 10.8.0.1 }
peers: [{ name: FR9, vpn_ip: 10.8.0.2, identity: "${identity}", reads: [FR2] }]`,
    );
    const named = expect.stringContaining('FR2 is no server of this file');
    expect((await loadConfig(file)).hints).toContainEqual(named);
    put('config-backups/FR2/anemone-backup-FR2-20261123-010000.enc', '');
    expect((await loadConfig(file)).hints).not.toContainEqual(named);
  });

  it('hints at two peers with one address', () => {
    const peers = `[{ name: A, vpn_ip: 10.8.0.2, identity: ${identity} }, { name: B, vpn_ip: "10.8.0.2:7443", identity: ${otherIdentity} }]`;
    const { hints } = parseConfig('/c.yaml', `server: { name: FR1 }\npeers: ${peers}`);
    expect(hints).toContainEqual(
      '/c.yaml:2: peers[1].vpn_ip: 10.8.0.2:7443 is also the address of A; only one of A and B answers there',
    );
  });

  it.each([
    ['[sh, -c, "pg_dump app | gzip"]', true],
    ['[sh, -ec, "set -u; pg_dump app|gzip"]', true],
    ['[docker, exec, db, /bin/bash, -c, "pg_dump app |& gzip"]', true],
    [`[sh, -c, 'echo "$(pg_dump app | gzip)"']`, true],
    ['[docker, exec, sh, sh, -u, -o, errexit, -c, "pg_dump app | gzip"]', true],
    ['[bash, -o, pipefail, -c, "pg_dump app | gzip"]', false],
    ['[bash, -c, "set -euo pipefail; pg_dump app | gzip"]', false],
    ['[bash, -c, "pg_dump app | gzip; exit $PIPESTATUS"]', false],
    ['[zsh, -c, "pg_dump app | gzip; exit $pipestatus[1]"]', false],
    ['[sh, -c, "pg_dump app || exit 1"]', false],
    [`[sh, -c, "grep -E 'a|b' log; grep a\\\\|b log"]`, false],
    [`[sh, -c, 'grep "a|b" log']`, false],
    ['[pg_dump, "a|b"]', false],
    ['[docker, exec, sh, grep, -c, "a|b", log]', false],
    ['[sh, dump.sh]', false],
  ])('hints at a pipe of a shell in which a dump fails and nobody hears of it: %s, %s', (command, hides) => {
    const text = `server: { name: FR1, listen: 10.8.0.1 }\nbackup:\n  encryption: { recipients: [${recipient}] }\n  sets:\n    db:\n      command: ${command}`;
    const told = [expect.stringMatching(/^\/c\.yaml:6: backup\.sets\.db\.command: .*\[bash, -o, pipefail, -c, …\]/)];
    expect(parseConfig('/c.yaml', text).hints).toEqual(hides ? told : []);
  });

  it.each(['0.0.0.0', '"[::]:7444"', '"0:0::0"'])('hints at %s, which is every address of the machine', (listen) => {
    const { hints } = parseConfig('/c.yaml', `server: { name: FR1, listen: ${listen} }`);
    expect(hints).toContainEqual(expect.stringContaining('server.listen is every address'));
  });

  it('never shows a secret that was put in the wrong place', () => {
    const key = '7K3Q'.repeat(14).concat('7K');
    for (const wrong of [key, 'AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ']) {
      const text = `server: { name: "${wrong}", data: { x: 1 } }\nbackup: { mode: "${wrong}", encryption: { recipients: ["${wrong}"] } }\npeers: [{ name: FR2, vpn_ip: 10.8.0.2, identity: "${wrong}" }]`;
      expect(() => parseConfig('/c.yaml', text)).toThrow(/identity: .* is not an identity/);
      expect(() => parseConfig('/c.yaml', text)).toThrow(/mode: is /);
      expect(() => parseConfig('/c.yaml', text)).not.toThrow(wrong);
    }
  });
});

describe('the spellings of the predecessor', () => {
  const old = `node:
  name: FR1
  role: home
wireguard:
  address: 10.8.0.1/24
restic_server:
  max_size_per_peer: 50GB
peers:
  - name: FR2
    allowed_ips: 10.8.0.2/32
    public_key: ${otherIdentity}
    endpoint: fr2.example:51820
    persistent_keepalive: 25
    description: at my sister's
    identity: ${identity}
  - name: US1
    allowed_ips: [10.9.0.0/24, 10.8.0.3/32]
    public_key: ${otherIdentity}
    quota: 1GB
    enabled: false
`;

  it('are read, with one hint each at what to write today', () => {
    const { config, hints } = parseConfig('/c.yaml', old);
    expect(config.server.name).toBe('FR1');
    expect(config.peers).toMatchObject([
      { name: 'FR2', address: { host: '10.8.0.2', port: 7443 }, quota: 50e9, enabled: true },
      { name: 'US1', address: { host: '10.8.0.3', port: 7443 }, quota: 1e9, enabled: false },
    ]);
    expect(hints.slice(0, 7)).toEqual([
      '/c.yaml:2: `node.name` is called `server.name` now',
      '/c.yaml:4: `wireguard` is not for backups and is ignored',
      '/c.yaml:7: `restic_server.max_size_per_peer` is the `quota` of each peer now',
      '/c.yaml:10: `allowed_ips` with one address is called `vpn_ip` now',
      "/c.yaml:11: `public_key` of a peer is WireGuard's and is ignored",
      "/c.yaml:12: `endpoint` of a peer is WireGuard's and is ignored",
      "/c.yaml:13: `persistent_keepalive` of a peer is WireGuard's and is ignored",
    ]);
  });

  it('do not hide where an error is', () => {
    expect(() => parseConfig('/c.yaml', old.replace('name: FR1', 'name: local'))).toThrow('/c.yaml:2: server.name: ');
    expect(() => parseConfig('/c.yaml', old.replace('50GB', 'much'))).toThrow('peers[0].quota: "much" is not a size');
    expect(() => parseConfig('/c.yaml', old.replace('10.8.0.2/32', '10.8.0.999/32'))).toThrow(
      '/c.yaml:10: peers[0].vpn_ip: "10.8.0.999" is not an address',
    );
  });

  it('may hold a value that other lines refer to', () => {
    const sized = old
      .replace('  address: 10.8.0.1/24', '  address: &size 20GB\n  also: &owners [&owner US1]')
      .replace('max_size_per_peer: 50GB', 'max_size_per_peer: *size')
      .replace('quota: 1GB', 'quota: *size\n    reads: *owners')
      .replace(`identity: ${identity}`, `identity: ${identity}\n    reads: [*owner]`);
    const { config } = parseConfig('/c.yaml', sized);
    expect(config.peers).toMatchObject([
      { name: 'FR2', quota: 20e9, reads: ['US1'] },
      { name: 'US1', quota: 20e9, reads: ['US1'] },
    ]);
    const twice = `vpn: { config: &q [/etc/a] }\nstorage: { max: &q 20GB }\n${old.replace('quota: 1GB', 'quota: *q')}`;
    expect(parseConfig('/c.yaml', twice).config.peers[1]?.quota).toBe(20e9);
  });

  it('give way to the new spelling when both are there', () => {
    const { config, hints } = parseConfig('/c.yaml', `server: { name: NEW }\n${old}`);
    expect(config.server.name).toBe('NEW');
    expect(hints).toContain('/c.yaml:3: `node.name` is ignored, because `server.name` is there');
  });
});

describe('a file that is no configuration', () => {
  it.each([
    ['missing', () => join(folder, 'none.yaml'), /none\.yaml does not exist/],
    ['a folder', () => folder, /is not a file/],
    [
      'not UTF-8',
      () => put('c.yaml', Buffer.from('server:\n  name: FR1\n  logs: caf\xe9\n', 'latin1')),
      /:3: is not UTF-8/,
    ],
    ['huge', () => put('c.yaml', `#${'x'.repeat(2 ** 20)}`), /has more than 1048576 bytes/],
    ['a pipe that nobody writes to', pipe, /not a file/],
  ])('is refused: %s', async (_, make, message) => {
    await expect(loadConfig(make())).rejects.toMatchObject({ kind: 'config', message: expect.stringMatching(message) });
  });

  it.each(['[', '{a: ', '- ', '? '])(
    'is refused before its nesting exhausts the stack: %j by the hundred thousand',
    (open) => {
      expect(() => parseConfig('/c.yaml', `x: 1\n${open.repeat(100_000)}`)).toThrow('/c.yaml:2: is nested too deeply');
    },
  );

  it('may begin with a byte order mark', async () => {
    const file = put('c.yaml', '\uFEFFserver:\n  name: FR1\n');
    expect((await loadConfig(file)).config.server.name).toBe('FR1');
  });

  it('shows control characters of the file as escapes', () => {
    expect(() => parseConfig('/c.yaml', 'server: { name: "\\e[31mFR1" }')).toThrow(/^[\x20-\x7e]+$/);
  });
});

describe('looking for the configuration', () => {
  it('takes what was asked for, then the environment, then the usual places', () => {
    const usual = put('config/config.yaml', '');
    const env = { ANEMONE_CONFIG: 'env.yaml' };
    expect(findConfig('mine.yaml', env, folder)).toBe(join(folder, 'mine.yaml'));
    expect(findConfig(undefined, env, folder)).toBe(join(folder, 'env.yaml'));
    expect(findConfig(undefined, { ANEMONE_CONFIG: '' }, folder)).toBe(usual);
  });

  it('names every place when there is none', () => {
    expect(() => findConfig(undefined, {}, folder)).toThrow(
      `no configuration: looked for ${folder}/config/config.yaml, /config/config.yaml, /etc/anemone/config.yaml`,
    );
  });
});

describe('the shipped example', () => {
  const file = join(shipped, 'example.yaml');
  const text = readFileSync(file, 'utf8');
  /** `#key: value` is a key with its default; `# words` are words. */
  const uncommented = text.replace(/^( *)#(?=[a-z_]+:)/gm, '$1');

  it('loads without a hint but the one about listening everywhere', async () => {
    const { hints } = await loadConfig(file);
    expect(hints).toEqual([expect.stringContaining('server.listen is every address')]);
  });

  it('shows the real defaults', async () => {
    expect(uncommented).not.toBe(text);
    expect(parseConfig(file, uncommented).config).toEqual((await loadConfig(file)).config);
  });

  it('mentions every key that there is, in its own section', () => {
    const written = uncommented.replace('# password_file:', 'password_file:').replace('# config:', 'config:');
    const missing = schemaKeys(configSchema).filter((path) => !mentions(parse(written), path));
    expect(missing).toEqual([]);
  });
});

/** Every path of keys in a schema; `*` stands for the items of a list and the names of a mapping. */
function schemaKeys(schema: object, path: string[] = []): string[][] {
  const { entries, wrapped, item, value, pipe } = schema as Record<string, object | undefined>;
  if (entries !== undefined) {
    return Object.entries(entries).flatMap(([key, inner]) => [[...path, key], ...schemaKeys(inner, [...path, key])]);
  }
  if (pipe !== undefined) return (pipe as object[]).flatMap((part) => schemaKeys(part, path));
  if (wrapped !== undefined) return schemaKeys(wrapped, path);
  const each = item ?? value;
  return each !== undefined && typeof each === 'object' ? schemaKeys(each, [...path, '*']) : [];
}

function mentions(value: unknown, [key, ...rest]: string[]): boolean {
  if (key === undefined) return true;
  if (typeof value !== 'object' || value === null) return false;
  if (key === '*') return Object.values(value).some((inner) => mentions(inner, rest));
  return Object.hasOwn(value, key) && mentions((value as Record<string, unknown>)[key], rest);
}
