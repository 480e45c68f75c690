import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { addPeer, removePeer } from '../../../src/mesh/config/edit.js';
import { loadConfig } from '../../../src/mesh/config/load.js';
import { parseAddress } from '../../../src/mesh/terms/address.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const first = 'lfImITEvTjwRH7XjaEfBsT28aH3P/KigH0p/Oq6wslY=';
const second = 'ORDChkCPmSAVZfouzygy28xk1sXJBm2kfQbu3qibwIg=';
const us1 = { name: 'US1', address: parseAddress('10.8.0.3:7444'), identity: second, quota: '50GB' };
const us1Lines = `  - name: US1\n    vpn_ip: 10.8.0.3:7444\n    identity: ${second}\n    quota: 50GB\n`;

const head = `# mine
server:
  name:   FR1      # at home
  listen: 10.8.0.1:7443


`;
const fr2 = `  # in Lyon
  - name: FR2
    vpn_ip: 10.8.0.2   # WireGuard
    identity: ${first} # from the paper
`;
const fr3Off = `  # in Nice, off for now
  #- name: FR3
  #  vpn_ip: 10.8.0.4
`;
const tail = `
limits: {upload: 5MB}      # slow line
`;

/** The example, in parts: what is before FR2, FR2 with the keys that are left out below it, US1, and the rest. */
const example = readFileSync(join(import.meta.dirname, '../../../config/example.yaml'), 'utf8');
const [, exampleHead = '', exampleFr2 = '', exampleUs1 = '', exampleTail = ''] =
  /^([\s\S]*?\n)( {2}- name: FR2\n[\s\S]*? {4}#reads: \[\]\n)( {2}- name: US1\n[\s\S]*?)(\nbackup:[\s\S]*)$/.exec(
    example,
  ) ?? [];

const fr2Flow = `{ name: FR2, vpn_ip: 10.8.0.2, identity: "${first}" }`;
const byHand = expect.stringContaining('Edit the file by hand: ');

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'config.yaml');
});

const read = (): string => readFileSync(file, 'utf8');

describe('adding a peer', () => {
  it.each([
    ['after the last one', `${head}peers:\n${fr2}${tail}`, `${head}peers:\n${fr2}${us1Lines}${tail}`],
    ['to an empty list', `${head}peers: []   # none yet\n${tail}`, `${head}peers:   # none yet\n${us1Lines}${tail}`],
    ['to a list without items', `${head}peers:\n${tail}`, `${head}peers:\n${us1Lines}${tail}`],
    [
      'to one with comments beside and below it',
      `${head}peers: # mine\n${fr3Off}${tail}`,
      `${head}peers: # mine\n${us1Lines}${fr3Off}${tail}`,
    ],
    ['to one with a comment at the end of the file', `${head}peers: # mine`, `${head}peers: # mine\n${us1Lines}`],
    ['to a file without peers', `${head}${tail}`, `${head}${tail}peers:\n${us1Lines}`],
    ['to a file that ends without a newline', `${head}peers:\n${fr2.trimEnd()}`, `${head}peers:\n${fr2}${us1Lines}`],
    [
      'to a list that is not indented',
      `${head}peers:\n${fr2.replace(/^ {2}/gm, '')}${tail}`,
      `${head}peers:\n${fr2.replace(/^ {2}/gm, '')}${us1Lines.replace(/^ {2}/gm, '')}${tail}`,
    ],
    [
      'to a file with the line ends of Windows',
      `${head}peers:\n${fr2}${tail}`.replaceAll('\n', '\r\n'),
      `${head}peers:\n${fr2}${us1Lines}${tail}`.replaceAll('\n', '\r\n'),
    ],
  ])('%s changes no other byte of the file', async (_, before, after) => {
    writeFileSync(file, before);
    expect(await addPeer(file, us1)).toBe('added');
    expect(read()).toBe(after);
  });

  it('is possible again where the only one was removed, and a comment stands beside the list', async () => {
    const before = `${head}peers: # mine\n${us1Lines}${tail}`;
    writeFileSync(file, before);
    await removePeer(file, 'US1');
    expect(await addPeer(file, us1)).toBe('added');
    expect(read()).toBe(before);
  });

  it('comes after the keys that are left out of the last one', async () => {
    writeFileSync(file, exampleHead + exampleFr2 + exampleTail);
    await addPeer(file, us1);
    expect(read()).toBe(exampleHead + exampleFr2 + us1Lines + exampleTail);
  });

  it.each([
    ['in braces', `{ server: { name: FR1 }, peers: [ ${fr2Flow} ] } # end\n`],
    ['with a list in brackets', `server: { name: FR1 } # me\npeers: [ ${fr2Flow} ]\n`],
    [
      'with each item below its dash',
      `server: { name: FR1 }\npeers:\n  -\n    ${fr2.slice(fr2.indexOf('name'))}`,
      '- ',
    ],
    ['that names a list elsewhere', `storage: &mesh\n${fr2}${head}peers: *mesh\n`, '- '],
  ])('leaves a layout to a person that it could not keep, and says what to write: %s', async (_, before, dash = '') => {
    writeFileSync(file, before);
    const written = `:\n${dash}{ name: US1, vpn_ip: 10.8.0.3:7444, identity: ${second}, quota: 50GB }`;
    await expect(addPeer(file, us1)).rejects.toMatchObject({
      kind: 'config',
      message: `the peers in ${file} are laid out so that this program cannot change them without moving other lines`,
      hint: expect.stringContaining(written),
    });
    await expect(removePeer(file, 'FR2')).rejects.toMatchObject({ kind: 'config', hint: byHand });
    expect(read()).toBe(before);
  });

  it('changes nothing when that very peer is there', async () => {
    writeFileSync(file, `${head}peers:\n${fr2}${us1Lines}`);
    const before = statSync(file);
    expect(await addPeer(file, us1)).toBe('same');
    expect(await addPeer(file, { name: 'FR2', address: parseAddress('10.8.0.2'), identity: first })).toBe('same');
    expect(statSync(file).ino).toBe(before.ino);
  });

  it.each([
    ['another identity', { ...us1, identity: Buffer.alloc(32, 7).toString('base64') }, ''],
    ['another case', { ...us1, name: 'us1' }, ''],
    ['`enabled: false`', us1, '    enabled: false\n'],
  ])('refuses a name that is taken by a peer with %s', async (_, peer, more) => {
    const before = `${head}peers:\n${us1Lines}${more}`;
    writeFileSync(file, before);
    await expect(addPeer(file, peer)).rejects.toMatchObject({
      kind: 'config',
      message: expect.stringContaining('US1 already'),
    });
    expect(read()).toBe(before);
  });

  it.each([
    ['an identity of another peer', { ...us1, identity: first }, 'is also the identity'],
    ['a wrong identity', { ...us1, identity: 'x' }, 'is not an identity'],
    ['a wrong name', { ...us1, name: '../x' }, 'is not a hostname'],
    ['the name of this server', { ...us1, name: 'FR1' }, 'is the name of this server'],
    ['a wrong quota', { ...us1, quota: 'lots' }, 'is not a size'],
  ])('leaves the file alone when it would become wrong: %s', async (_, peer, message) => {
    const before = `${head}peers:\n${fr2}${tail}`;
    writeFileSync(file, before);
    await expect(addPeer(file, peer)).rejects.toMatchObject({
      kind: 'config',
      message: expect.stringContaining(message),
    });
    expect(read()).toBe(before);
    expect(readdirSync(folder)).toEqual(['config.yaml']);
  });

  it('keeps the mode of the file, a symbolic link to it, and leaves nothing beside it', async () => {
    writeFileSync(file, `${head}peers:\n${fr2}`);
    chmodSync(file, 0o640);
    const link = join(folder, 'link.yaml');
    symlinkSync('config.yaml', link);
    await addPeer(link, us1);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(read()).toContain('US1');
    expect(readdirSync(folder).sort()).toEqual(['config.yaml', 'link.yaml']);
  });
});

describe('adding a peer that is there', () => {
  const moved = { name: 'FR2', address: parseAddress('[fd00::2]:7444'), identity: first };
  const withReads = (quota: string): string =>
    `${fr2}${quota}    reads:   # its cousins\n      - US1\n    # that is all\n${us1Lines}`;

  it.each([
    [
      'another address',
      moved,
      `${head}peers:\n${withReads('')}${tail}`,
      `${head}peers:\n${withReads('').replace('10.8.0.2 ', '"[fd00::2]:7444" ')}${tail}`,
    ],
    [
      'a quota that it did not have',
      { ...moved, address: parseAddress('10.8.0.2'), quota: '5GB' },
      `${head}peers:\n${withReads('')}${tail}`,
      `${head}peers:\n${withReads('').replace('      - US1\n', '      - US1\n    quota: 5GB\n')}${tail}`,
    ],
    [
      'both, in a file with the line ends of Windows',
      { ...moved, quota: '5GB' },
      `${head}peers:\n${withReads('    quota: 1TB # much\n')}`.replaceAll('\n', '\r\n'),
      `${head}peers:\n${withReads('    quota: 5GB # much\n').replace('10.8.0.2 ', '"[fd00::2]:7444" ')}`.replaceAll(
        '\n',
        '\r\n',
      ),
    ],
    [
      'a quota, at the end of a file without a newline',
      { ...moved, address: parseAddress('10.8.0.2'), quota: '5GB' },
      `${head}peers:\n${fr2.trimEnd()}`,
      `${head}peers:\n${fr2}    quota: 5GB\n`,
    ],
  ])('with %s changes that and no other byte of the file', async (_, peer, before, after) => {
    writeFileSync(file, before);
    expect(await addPeer(file, peer)).toBe('changed');
    expect(read()).toBe(after);
    expect(await addPeer(file, peer)).toBe('same');
  });

  it('takes another address in braces too, and leaves what that one did not have to a person', async () => {
    const before = `{ server: { name: FR1 }, peers: [ ${fr2Flow} ] } # end\n`;
    writeFileSync(file, before);
    expect(await addPeer(file, moved)).toBe('changed');
    expect(read()).toBe(before.replace('10.8.0.2', '"[fd00::2]:7444"'));
    await expect(addPeer(file, { ...moved, quota: '5GB' })).rejects.toMatchObject({
      kind: 'config',
      hint: expect.stringContaining('{ quota: 5GB }'),
    });
  });

  it.each([
    ['its quota', `${fr2}    quota: &q 1GB\n${us1Lines.replace('50GB', '*q')}`],
    ['it', `  - &fr2 { name: FR2, vpn_ip: 10.8.0.2, identity: "${first}" }\n${us1Lines}vpn: { config: [] }\n`],
  ])('leaves the file alone where other lines may refer to %s', async (what, peers) => {
    const before =
      what === 'it' ? `${head}storage:\n${peers}`.replace(us1Lines, `peers: [*fr2]\n`) : `${head}peers:\n${peers}`;
    writeFileSync(file, before);
    await expect(addPeer(file, { ...moved, quota: '5GB' })).rejects.toMatchObject({
      kind: 'config',
      hint: byHand,
    });
    expect(read()).toBe(before);
  });
});

describe('removing a peer', () => {
  it.each([
    ['the last', 'US1', `${head}peers:\n${fr2}${us1Lines}${tail}`, `${head}peers:\n${fr2}${tail}`],
    [
      'the first, with comments above it kept',
      'FR2',
      `${head}peers:\n${fr2}${us1Lines}${tail}`,
      `${head}peers:\n  # in Lyon\n${us1Lines}${tail}`,
    ],
    ['one with its comment', 'FR2', `${head}peers:\n${us1Lines}\n${fr2}${tail}`, `${head}peers:\n${us1Lines}\n${tail}`],
    ['one below keys that another one leaves out', 'US1', example, exampleHead + exampleFr2 + exampleTail],
    ['one with the keys that it leaves out', 'FR2', example, exampleHead + exampleUs1 + exampleTail],
    [
      'one with what stands below it after an empty line',
      'US1',
      `${head}peers:\n${us1Lines}\n    #reads: []\n\n${fr2}${tail}`,
      `${head}peers:\n\n${fr2}${tail}`,
    ],
    [
      'one below another that is commented out',
      'US1',
      `${head}peers:\n${fr2}${fr3Off}${us1Lines}${tail}`,
      `${head}peers:\n${fr2}${fr3Off}${tail}`,
    ],
    ['the only one', 'US1', `${head}peers:\n${us1Lines}${tail}`, `${head}peers:\n${tail}`],
  ])('takes out %s and no other byte', async (_, name, before, after) => {
    writeFileSync(file, before);
    await removePeer(file, name);
    expect(read()).toBe(after);
    expect((await loadConfig(file)).config.peers.map((peer) => peer.name)).not.toContain(name);
  });

  it('is refused when other lines refer to what the peer holds', async () => {
    const before = `${head}peers:\n${us1Lines.replace('50GB', '&q 50GB')}${fr2}    quota: *q\n`;
    writeFileSync(file, before);
    await expect(removePeer(file, 'US1')).rejects.toMatchObject({ kind: 'config', hint: byHand });
    expect(read()).toBe(before);
  });

  it('names the nearest peer when there is none of that name', async () => {
    writeFileSync(file, `${head}peers:\n${fr2}`);
    await expect(removePeer(file, 'FR3')).rejects.toMatchObject({ kind: 'not-found', hint: 'Did you mean FR2?' });
  });
});
