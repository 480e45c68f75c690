import { basename } from 'node:path';
import { stringify } from 'yaml';
import { formatAddress } from '../terms/address.js';
import { ageKeyProgram, cbc1Commands } from './by-hand.js';
import { type Kit, kitBegin, kitEnd, kitFileName, kitVersion, type MissingVpn, yamlOfKit } from './kit.js';
import type { SignedKit } from './signed-kit.js';

export interface KitCircumstances {
  /** The folder that the server's configuration, backups and logs were in. */
  readonly folder: string;
  readonly missing: readonly MissingVpn[];
  /** When it was written, milliseconds since 1970; null for a text that depends on nothing but its facts. */
  readonly writtenAt: number | null;
}

/** The text of a kit: for a person on the worst day, with the part that `restore --kit` reads. */
export function renderKit(signed: SignedKit, circumstances: KitCircumstances): string {
  const { server } = signed.kit;
  const title = `THE KIT OF ${server}`;
  const written = circumstances.writtenAt === null ? '' : ` It was written on ${dayOf(circumstances.writtenAt)}.`;
  return `${title}
${'='.repeat(title.length)}

This file holds everything but the secret that is needed to bring the server ${server} back on a bare machine.
Nothing in it is secret: copy it, print it, mail it to yourself.${written}

You also need the RECOVERY KEY of ${server}: 58 letters and digits, on paper. Without it nobody can open a backup.

${withProgram(signed, circumstances)}

${whoHolds(signed)}

${withoutProgram(signed)}

FOR THE PROGRAM
---------------
\`restore --kit\` reads what follows. ${server} signed it, so that a change is noticed.

${machineBlock(signed)}
${signed.kit.vpn.kind === 'sealed' ? `\nThe VPN configuration, sealed: it opens with the recovery key, unless it is sealed to other keys only.\n\n${signed.kit.vpn.armor.trim()}\n` : ''}`;
}

function withProgram({ kit }: SignedKit, { folder, missing }: KitCircumstances): string {
  // Only in the image a server lives in the root of its file system.
  const list = folder === '/' ? stepsInDocker(kit) : steps(kit, folder);
  const notes = missing.map(({ path, reason }) => `  Not in this kit: ${path}: ${reason}.`);
  return `WHAT TO DO
----------
${list.map((step, index) => `  ${index + 1}. ${step}`).join('\n')}
${notes.length === 0 ? '' : `\n${notes.join('\n')}\n`}
  Nothing is changed before you say yes. To look first: add --dry-run. If a peer has another address by now, name it:
  --peer ADDRESS.`;
}

function steps({ vpn, server }: Kit, folder: string): readonly string[] {
  return [
    `Take a machine with Linux, and install Node.js (24 is best) and anemone-peer on it. In a checkout that is
     \`npm install\`, and, in its folder, \`npx --no-install\` before the commands below: without that, npx fetches a
     program of this name from strangers where there is none, and you would give it the recovery key.`,
    `Copy this file to it, into the folder that the server is to live in. It was ${folder} before.`,
    ...(vpn.files.length > 0
      ? [
          `In that folder, run:

       anemone-peer restore --kit ${kitFileName(server)}

     It asks for the recovery key (nothing is shown as you type), and offers to write the VPN configuration (${vpn.files.map(({ path }) => basename(path)).join(', ')}).
     Bring the VPN up, then go on: it shows the backups that the peers hold, and puts the one you choose in place.`,
        ]
      : [
          'Join the VPN in which the peers are reached. This kit does not hold its configuration.',
          `In that folder, run:

       anemone-peer restore --kit ${kitFileName(server)}

     It asks for the recovery key (nothing is shown as you type), shows the backups that the peers hold, and puts the one you choose in place.`,
        ]),
    `Run the second command that the restore shows where files belong outside that folder, such as in /etc. Start the node as
     its last line says, and look at \`anemone-peer status\`.`,
  ];
}

function stepsInDocker({ vpn, server }: Kit): readonly string[] {
  const command = `docker compose run --rm node anemone-peer restore --kit config/${kitFileName(server)}`;
  const chosen = 'shows the backups that the peers hold, and puts the one you choose in place.';
  return [
    'Take a machine with Linux and Docker, and a checkout of anemone-peer on it. The server was in a container before.',
    `In the checkout: mkdir -p config config-backups logs; copy this file into config/; and
     sudo chown -R 1000:1000 config config-backups logs`,
    ...(vpn.files.length > 0
      ? [
          `There, run:

       ${command} --vpn-dir logs/vpn

     It asks for the recovery key (nothing is shown as you type), and writes the VPN configuration (${vpn.files.map(({ path }) => basename(path)).join(', ')})
     into logs/vpn. It reaches no peer yet: bring the VPN up with that, on the machine itself.`,
          `Run the same command again: it ${chosen}`,
        ]
      : [
          'Join the VPN in which the peers are reached. This kit does not hold its configuration.',
          `There, run:

       ${command}

     It asks for the recovery key (nothing is shown as you type), ${chosen}`,
        ]),
    `Run the second command that the restore shows where something was left out, with \`docker compose run --rm node\` before it.
     Start the node with \`docker compose up -d\`, and look at \`docker compose exec node anemone-peer status\`.`,
  ];
}

function whoHolds({ kit }: SignedKit): string {
  const peers = kit.peers.map(
    ({ name, address, identity }) => `  ${name}\n    address   ${formatAddress(address)}\n    identity  ${identity}`,
  );
  const none = '  none yet. Run `anemone-peer kit` again when there are some.';
  return `WHO IS WHO
----------
  ${kit.server}, this server
    address   ${formatAddress(kit.address)}
    identity  ${kit.identity}
${kit.recipients.map((recipient) => `    sealed to ${recipient}\n`).join('')}
  Its peers, who hold its backups:

${peers.length === 0 ? none : peers.join('\n')}`;
}

function withoutProgram({ kit }: SignedKit): string {
  const { server, recipients, vpn } = kit;
  const title = 'WITHOUT THIS PROGRAM\n--------------------';
  const copy = `Copy the newest backup from the disk of a peer. It lies in the data folder of its node (config-backups/), in
     the folder ${server}/, and is called anemone-backup-${server}-YYYYMMDD-HHMMSS.enc (UTC).`;
  if (recipients.length === 0) {
    return `${title}
  1. ${copy}
  2. With the key text of the mesh in RESTIC_KEY, OpenSSL 3 and tar open it. Other users of the machine can see the key
     while OpenSSL runs: take one where there are none.

${indented(cbc1Commands)}`;
  }
  const vpnStep =
    vpn.kind === 'sealed' && vpn.files.length > 0
      ? `
     The VPN configuration at the end of this file opens with it too:

       sed -n '/^-----BEGIN AGE/,/^-----END AGE/p' ${kitFileName(server)} | age -d -i key.txt
`
      : '';
  return `${title}
  1. Turn the recovery key into a key for \`age\` (https://age-encryption.org, in every distribution). Save the lines
     below as key.py, and run: (umask 077; python3 key.py > key.txt)
     \`age-keygen -y key.txt\` shows what stands after "sealed to" above. If not, it was sealed to another age key: use that.
${vpnStep}
  2. ${copy}
  3. Open it:

       age -d -i key.txt BACKUP.enc | tar -xz

     (Backups of a database or an export may be no archive: age -d -i key.txt BACKUP.enc > FILE.)
  4. Remove key.txt: it opens everything.

  key.py:

${ageKeyProgram}`;
}

function machineBlock({ kit, signature, certificate }: SignedKit): string {
  const document = {
    kit: kitVersion,
    server: kit.server,
    identity: kit.identity,
    address: formatAddress(kit.address),
    recipients: kit.recipients,
    peers: kit.peers.map((peer) => ({ ...peer, address: formatAddress(peer.address) })),
    vpn: kit.vpn.files.map(({ path, size, ...rest }) => ({ path, size, ...rest })),
    certificate: columns(certificate),
    signature: columns(signature),
  };
  return `${kitBegin}\n${stringify(document, yamlOfKit)}${kitEnd}`;
}

/** Base64 in lines that no mail program breaks. */
function columns(bytes: Buffer): string {
  return bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
}

function indented(text: string): string {
  return text.replace(/^/gm, '       ');
}

function dayOf(moment: number): string {
  return new Date(moment).toISOString().slice(0, 10);
}
