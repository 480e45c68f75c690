import { execFileSync } from 'node:child_process';
import { verify, X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { identityToRecipient } from 'age-encryption';
import { beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../../src/mesh/config/load.js';
import { makeKit, makeTravellingKit } from '../../../src/mesh/kit/make-kit.js';
import { parseKit } from '../../../src/mesh/kit/parse-kit.js';
import { openVpn } from '../../../src/mesh/kit/seal-vpn.js';
import { verifyKit } from '../../../src/mesh/kit/signed-kit.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { recoverableServer } from '../../support/restorable.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const fr1 = recoverableServer('FR1');
const fr2 = recoverableServer('FR2');
const wireguard = '[Interface]\nPrivateKey = not-to-be-seen\n\n[Peer]  \nEndpoint = fr2.example:51820\n';
const now = Date.UTC(2026, 10, 24);

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

async function configWith(more = '', encryption = ''): Promise<ReturnType<typeof parseConfig>['config']> {
  const recipient = await identityToRecipient(fr1.keys.ageIdentity);
  const text = `server: { name: FR1, listen: "10.8.0.1:7443" }
peers:
  - { name: FR2, vpn_ip: "10.8.0.2:7444", identity: "${fr2.keys.identity}" }
  - { name: OLD, vpn_ip: 10.8.0.9, enabled: false }
backup: { encryption: ${encryption || `{ recipients: [${recipient}] }`} }
${more}`;
  return parseConfig(join(folder, 'config.yaml'), text).config;
}

async function withWireguard(): Promise<string> {
  await mkdir(join(folder, 'wireguard'));
  const path = join(folder, 'wireguard/wg0.conf');
  await writeFile(path, wireguard);
  await writeFile(join(folder, 'wireguard/notes.txt'), 'no configuration');
  return path;
}

const read = (text: string) => parseKit(Buffer.from(text), 'the kit');
const refusal = (work: () => unknown): Failure => {
  try {
    work();
  } catch (thrown) {
    return Failure.from(thrown);
  }
  throw new Error('it was accepted');
};

describe('a kit', () => {
  it('reads back as the server, its enabled peers, and a VPN configuration that the recovery key opens', async () => {
    const path = await withWireguard();
    const { text } = await makeKit(await configWith(`vpn: { config: [${path}] }`), fr1.server.signer, now);
    const kit = verifyKit(read(text), fr1.keys.identity, 'the kit');
    expect(kit).toMatchObject({
      server: 'FR1',
      identity: fr1.keys.identity,
      address: { host: '10.8.0.1', port: 7443 },
      peers: [{ name: 'FR2', address: { host: '10.8.0.2', port: 7444 }, identity: fr2.keys.identity }],
    });
    if (kit.vpn.kind !== 'sealed') throw new Error('the VPN configuration is not sealed');
    const opened = await openVpn(kit.vpn.armor, kit.vpn.files, fr1.keys.ageIdentity);
    expect(opened).toEqual([{ path, size: wireguard.length, content: wireguard }]);
  });

  it.each(['> ', '>', '> > '])('is read also where a mail program has put %j before each line', async (quote) => {
    await withWireguard();
    const { text, kit } = await makeKit(await configWith(), fr1.server.signer, now);
    const quoted = text.split('\n').map((line) => `${quote}${line}`.trimEnd());
    const signed = parseKit(Buffer.from(`You wrote:\n${quoted.join('\n')}\n`), 'the kit');
    expect(verifyKit(signed, fr1.keys.identity, 'the kit')).toEqual(kit);
  });

  it('shows nothing of the VPN configuration, nor any secret, to who reads it', async () => {
    await withWireguard();
    const { text } = await makeKit(await configWith(), fr1.server.signer, now);
    for (const secret of ['not-to-be-seen', 'AGE-SECRET', fr1.recoveryKey.slice(0, 13)])
      expect(text).not.toContain(secret);
  });

  it('lets nobody fetch a program of the same name, which would be given the recovery key', async () => {
    const { text } = await makeKit(await configWith(), fr1.server.signer, now);
    expect(text.match(/`npx[^`]*`/g)).toEqual(['`npx --no-install`']);
  });

  it('of a server in a container says how that comes back, in the places that are kept', async () => {
    const vpn = `vpn: { config: [${await withWireguard()}] }`;
    const config = { ...(await configWith(vpn)), base: '/' };
    const { text } = await makeKit(config, fr1.server.signer, now);
    const command = 'docker compose run --rm node anemone-peer restore --kit config/anemone-kit-FR1.txt';
    expect(text).toContain(`${command} --vpn-dir logs/vpn\n`);
    expect(text).not.toMatch(/npm install|^ +anemone-peer restore/m);
    expect((await makeKit({ ...config, vpn: { config: [] } }, fr1.server.signer, now)).text).toContain(`${command}\n`);
  });

  it('finds every .conf in wireguard/ beside the configuration by itself', async () => {
    const path = await withWireguard();
    const { kit } = await makeKit(await configWith(), fr1.server.signer, now);
    expect(kit.vpn.files.map((file) => file.path)).toContain(path);
    expect(kit.vpn.files.map((file) => file.path)).not.toContain(join(folder, 'wireguard/notes.txt'));
  });

  it('says which VPN files are missing, too large or no text, and is made all the same', async () => {
    await writeFile(join(folder, 'large.conf'), Buffer.alloc(70_000, 'x'));
    await writeFile(join(folder, 'binary.conf'), Buffer.from([0xff, 0xfe, 0x00]));
    const vpn = 'vpn: { config: [gone.conf, large.conf, binary.conf] }';
    const { text, missing } = await makeKit(await configWith(vpn), fr1.server.signer, now);
    expect(missing.map(({ reason }) => reason)).toEqual([
      'it is not there',
      'it has more than 65536 bytes',
      'it is not a text',
    ]);
    for (const { path, reason } of missing) expect(text).toContain(`${path}: ${reason}`);
    expect(verifyKit(read(text), fr1.keys.identity, 'the kit').vpn.files).toEqual([]);
  });

  it('waits for no named pipe in the place of a VPN file', async () => {
    const path = await withWireguard();
    const pipe = join(folder, 'wireguard/pipe.conf');
    execFileSync('mkfifo', [pipe]);
    const { text, missing } = await makeKit(await configWith(), fr1.server.signer, now);
    expect(missing).toContainEqual({ path: pipe, reason: 'it is not a file' });
    expect(read(text).kit.vpn.files).toContainEqual(expect.objectContaining({ path }));
  });

  it('of many large VPN files holds what fits, names the others, and can be read', async () => {
    const files = Array.from({ length: 14 }, (_, index) => join(folder, `${index}.conf`));
    for (const file of files) await writeFile(file, `# ${'x'.repeat(40)}\n`.repeat(1400));
    const config = await configWith(`vpn: { config: [${files.join(', ')}] }`);
    for (const made of [
      await makeKit(config, fr1.server.signer, now),
      await makeTravellingKit(config, fr1.server.signer),
    ]) {
      const { vpn } = verifyKit(read(made.text), fr1.keys.identity, 'the kit');
      expect(vpn.files.length).toBeGreaterThan(6);
      const left = files.slice(vpn.files.length).map((path) => ({ path, reason: 'the kit has no room left for it' }));
      expect(made.missing).toEqual(left);
      if (vpn.kind === 'sealed')
        expect(await openVpn(vpn.armor, vpn.files, fr1.keys.ageIdentity)).toHaveLength(vpn.files.length);
    }
  });

  it('holds no VPN file that would not come out of it as it is', async () => {
    // Too deep for the reader of a kit, and nothing but blanks, which are others when they are read again.
    const texts = { 'deep.conf': '['.repeat(100), 'blank.conf': ' \n \n', 'good.conf': '\r\n#\t[x]  \n\n' };
    for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text);
    const config = await configWith(`vpn: { config: [${Object.keys(texts).join(', ')}] }`);
    const { text, missing } = await makeTravellingKit(config, fr1.server.signer);
    const reason = 'it would not come out of a kit as it is';
    expect(missing).toEqual(['deep.conf', 'blank.conf'].map((name) => ({ path: join(folder, name), reason })));
    const { vpn } = verifyKit(read(text), fr1.keys.identity, 'the kit');
    expect(vpn.files).toMatchObject([{ content: texts['good.conf'] }]);
  });

  it('is not made when nobody could read it', async () => {
    const config = await configWith();
    const peer = (index: number) => ({ ...config.peers[0], name: `P${index}` }) as (typeof config.peers)[number];
    const crowd = { ...config, peers: Array.from({ length: 1001 }, (_, index) => peer(index)) };
    await expect(makeKit(crowd, fr1.server.signer, now)).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('nobody could read it: it cannot be used as a kit: line'),
    });
  });

  it('of the format anemone-cbc1 leaves the VPN configuration out, and says how to open a backup with OpenSSL', async () => {
    const path = await withWireguard();
    const config = await configWith(`vpn: { config: [${path}] }`, '{ format: anemone-cbc1, password_file: key }');
    const { text, missing } = await makeKit(config, fr1.server.signer, now);
    expect(missing).toEqual([{ path, reason: expect.stringContaining('no age recipient') }]);
    expect(text).toContain('openssl enc -d -aes-256-cbc');
    expect(text).toContain('Other users of the machine can see the key');
    expect(text).not.toContain('not-to-be-seen');
  });

  it('reads the same after a mail program changed line ends and added text around it', async () => {
    await withWireguard();
    const { text, kit } = await makeKit(await configWith(), fr1.server.signer, now);
    const mailed = `Fwd: the kit\r\n\r\n${text.replaceAll('\n', '\r\n')}\r\n-- \r\nme`;
    const again = verifyKit(read(mailed), fr1.keys.identity, 'the kit');
    expect(again.peers).toEqual(kit.peers);
    if (again.vpn.kind !== 'sealed') throw new Error('the VPN configuration is not sealed');
    expect(await openVpn(again.vpn.armor, again.vpn.files, fr1.keys.ageIdentity)).toMatchObject([
      { content: wireguard },
    ]);
  });

  it('can be verified without this program, as the formats say', async () => {
    await withWireguard();
    const kept = await readFile(join(import.meta.dirname, '../../vectors/0.1.0/config/anemone-kit-FR1.txt'), 'utf8');
    const made = [
      makeKit(await configWith(), fr1.server.signer, now),
      makeTravellingKit(await configWith(), fr1.server.signer),
    ];
    for (const text of [kept, ...(await Promise.all(made)).map((kit) => kit.text)]) {
      const [, block = ''] = /-----BEGIN ANEMONE KIT-----\n(.*)-----END ANEMONE KIT-----/s.exec(text) ?? [];
      const { server, identity, address, recipients, peers, vpn, certificate, signature } = parse(block);
      const armor = /-----BEGIN AGE .* FILE-----/s.exec(text)?.[0].split(/\s+/) ?? null;
      const json = JSON.stringify([
        1,
        server,
        identity,
        address,
        recipients,
        peers.map((peer: Record<string, string>) => [peer['name'], peer['address'], peer['identity']]),
        [
          armor === null ? 'open' : 'sealed',
          vpn.map((file: Record<string, unknown>) => [file['path'], file['size'], file['content'] ?? null]),
          armor,
        ],
      ]);
      const certified = new X509Certificate(Buffer.from(certificate, 'base64'));
      expect(certified.toLegacyObject().issuer.CN).toBe(identity);
      const signed = Buffer.from(`anemone-peer/v1 kit\0${json}`);
      expect(verify(null, signed, certified.publicKey, Buffer.from(signature, 'base64'))).toBe(true);
    }
  });

  it('that travels is the same bytes for as long as nothing changes, and other bytes when a VPN file does', async () => {
    const path = await withWireguard();
    const config = await configWith(`vpn: { config: [${path}] }`);
    const first = await makeTravellingKit(config, fr1.server.signer);
    expect((await makeTravellingKit(config, fr1.server.signer)).text).toBe(first.text);
    const { vpn } = verifyKit(read(first.text), fr1.keys.identity, 'the kit');
    expect(vpn).toEqual({ kind: 'open', files: [{ path, size: wireguard.length, content: wireguard }] });
    await writeFile(path, `${wireguard}# changed\n`);
    expect((await makeTravellingKit(config, fr1.server.signer)).text).not.toBe(first.text);
  });
});

describe('a kit that is not to be believed', () => {
  const genuine = async () => (await makeKit(await configWith(), fr1.server.signer, now)).text;

  it('is refused when the key is of another server', async () => {
    const signed = read(await genuine());
    const { kind, hint } = refusal(() => verifyKit(signed, fr2.keys.identity, 'the kit'));
    expect(kind).toBe('wrong-key');
    expect(hint).toContain(fr2.keys.identity);
  });

  it.each([
    ['the address of a peer', '10.8.0.2:7444', '10.8.0.66:7444'],
    ['the name of a peer', 'name: FR2', 'name: FR6'],
    ['its own address', 'address: 10.8.0.1:7443', 'address: 10.8.0.1:7444'],
    ['the server', 'server: FR1', 'server: FR9'],
  ])('is refused when somebody changed %s', async (_what, before, after) => {
    const changed = (await genuine()).replaceAll(before, after);
    const { kind, message } = refusal(() => verifyKit(read(changed), fr1.keys.identity, 'the kit'));
    expect(kind).toBe('untrusted');
    expect(message).toContain('was changed');
  });

  it('is refused when somebody put another sealed VPN configuration into it', async () => {
    await withWireguard();
    const armorOf = (text: string): string => /^-----BEGIN AGE ENC[\s\S]*END AGE ENC[^\n]*/m.exec(text)?.[0] ?? '';
    const text = await genuine();
    await writeFile(join(folder, 'wireguard/wg0.conf'), wireguard.replace('Endpoint', 'PostUp  '));
    const forged = text.replace(armorOf(text), armorOf(await genuine()));
    expect(forged).not.toBe(text);
    expect(refusal(() => verifyKit(read(forged), fr1.keys.identity, 'the kit')).kind).toBe('untrusted');
  });

  it.each<[string, (text: string) => string, string]>([
    ['no kit', () => 'dear diary', 'this is no kit'],
    ['nothing', () => '', 'this is no kit'],
    ['cut off', (text) => text.slice(0, text.indexOf('signature:')), 'its end is missing'],
    ['two kits', (text) => text + text, 'must stand there once'],
    ['of a newer version', (text) => text.replace('kit: 1', 'kit: 2'), 'newer anemone-peer'],
    ['of no version', (text) => text.replace('kit: 1\n', ''), 'which version'],
    ['one key too many', (text) => text.replace('kit: 1', 'kit: 1\nrun: rm'), 'run is no key of a kit'],
    [
      'a key of any length',
      (text) => text.replace('kit: 1', `kit: 1\n"\\e[2J\\n${'x'.repeat(900)}": rm`),
      '\\x1b[2J\\x0ax',
    ],
    ['a key too few', (text) => text.replace(/recipients:\n.*\n/, ''), 'recipients is missing'],
    ['a hostname that leaves the folder', (text) => text.replace('server: FR1', 'server: ../FR1'), 'is not a hostname'],
    ['an identity that is none', (text) => text.replaceAll(fr2.keys.identity, 'AAAA'), 'is not an identity'],
    ['an address that is none', (text) => text.replaceAll('10.8.0.2:7444', '10.8.0.2/24'), 'is not an address'],
    ['a bomb of aliases', (text) => text.replace('kit: 1', 'kit: 1\na: &a [1]\nb: [*a, *a]'), 'the kit'],
    ['a bomb of brackets', (text) => text.replace('kit: 1', `kit: ${'['.repeat(20_000)}`), 'nested too deeply'],
    ['a tag', (text) => text.replace('kit: 1', 'kit: !!js/function 1'), 'the kit'],
    ['larger than any kit', (text) => text + ' '.repeat(1_100_000), 'another file'],
  ])('is refused when it is %s', async (_what, change, expected) => {
    const { kind, message } = refusal(() => read(change(genuineText)));
    expect(kind).toBe('damaged');
    expect(message).toContain(expected);
    expect(message).toMatch(/^\P{Cc}{1,500}$/u);
  });

  let genuineText = '';
  beforeEach(async () => {
    genuineText = await genuine();
  });
});
