import { rm } from 'node:fs/promises';
import { hostname, networkInterfaces } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { identityToRecipient } from 'age-encryption';
import type { Config } from '../../mesh/config/config.js';
import { parseConfig } from '../../mesh/config/load.js';
import { ownTimezone } from '../../mesh/config/own-timezone.js';
import { renderStartingConfig } from '../../mesh/config/render.js';
import { deriveKeys, formatRecoveryKey, generateRecoveryKey } from '../../mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../mesh/identity/server-identity.js';
import { renderPage } from '../../mesh/kit/page.js';
import { formatAddress, parseAddress } from '../../mesh/terms/address.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import { introduction, peerAddCommand } from '../render/introduction.js';
import type { Look } from '../render/look.js';
import { kitPath, tellMissing, writeKit } from '../server/kit-file.js';
import { refuseBackedUp, type WrittenPage, writePage } from '../server/kit-page.js';
import { completeServer, prepareServer, refuseSecondServer, removeServerFiles } from '../server/server-files.js';
import { vpnAddress } from '../server/vpn-address.js';
import { asUsage } from '../session/as-usage.js';
import type { Context, ExitCode } from '../session/context.js';

export interface InitOptions {
  readonly name?: string;
  readonly listen?: string;
  readonly dir: string;
  /** Where the printable page goes; false with `--no-page`. Without either: into memory, and not at all with `--json`. */
  readonly page?: string | false;
}

/**
 * Makes a new server: its recovery key, which is shown and kept nowhere, its identity, its node key and its configuration.
 * @throws Failure `config` when there is a server already, or half of one; nothing is changed then
 */
export async function initServer(context: Context, options: InitOptions): Promise<ExitCode> {
  const name = options.name === undefined ? ownName() : asUsage('--name', () => parseHostname(options.name ?? ''));
  const listen = asUsage('--listen', () => parseAddress(options.listen ?? vpnAddress(networkInterfaces())));
  const file = join(resolve(context.cwd, options.dir), 'config.yaml');

  const recoveryKey = generateRecoveryKey();
  const keys = deriveKeys(recoveryKey);
  const recipient = await identityToRecipient(keys.ageIdentity);
  const timezone = ownTimezone();
  const text = renderStartingConfig({
    name,
    listen,
    recipients: [recipient],
    paths: [basename(dirname(file)) === 'config' ? './config' : './config.yaml'],
    timezone: timezone ?? 'UTC',
  });
  const { config } = parseConfig(file, text);
  const page = options.page || undefined;
  const pagePath = page === undefined ? undefined : resolve(context.cwd, page);
  if (pagePath !== undefined) refuseBackedUp(pagePath, config);
  await refuseSecondServer(config);
  if (timezone === null) {
    context.screen.warn('the time zone of this machine has no name: the nights go by UTC, or by `backup.timezone`');
  }
  const now = context.clock.now();
  const self = makeServerIdentity(keys, name, now);
  await prepareServer(config, text, self, recipient);

  const shown = formatRecoveryKey(recoveryKey);
  const kit = await attempt(context, () => writeKit(config, self.signer, now, kitPath(config)));
  const html = renderPage({ server: name, identity: keys.identity, address: listen }, shown, keys.ageIdentity);
  const wantsPage = options.page !== false && (pagePath !== undefined || !context.screen.json);
  const written = wantsPage ? await attempt(context, () => writePage(html, pagePath, config, context.env)) : null;
  const made = { config, identity: keys.identity, recipient, recoveryKey: shown, hasKit: kit !== null, page: written };
  await show(context, made);
  await complete(made, self);
  if (kit !== null) tellMissing(context.screen, kit);
  return kit === null || (wantsPage && written === null) ? 3 : 0;
}

/** A server whose recovery key nobody saw could never be brought back, and would be in the way of another one. */
async function show({ screen }: Context, made: Made): Promise<void> {
  const { config } = made;
  screen.result(documentOf(made), (look) => textOf(made, look));
  try {
    await screen.shown();
  } catch (cause) {
    await takeBack(made);
    const { message } = cause as Error;
    throw new Failure('failed', `the recovery key of ${config.server.name} could not be shown: ${message}`, {
      cause,
      hint: 'No server was made. Run `anemone-peer init` again, at a terminal, or where its output is kept.',
    });
  }
}

/** Only now: whatever ends this program before the recovery key was shown leaves no server. */
async function complete(made: Made, self: ServerIdentity): Promise<void> {
  try {
    await completeServer(made.config, self);
  } catch (cause) {
    await takeBack(made);
    const { message } = Failure.from(cause);
    throw new Failure('failed', `the identity of this server cannot be stored: ${message}`, {
      cause,
      hint: 'No server was made, and the recovery key that was shown belongs to no server: throw it away. Run `anemone-peer init` again.',
    });
  }
}

async function takeBack({ config, hasKit, page }: Made): Promise<void> {
  await removeServerFiles(config);
  if (hasKit) await rm(kitPath(config), { force: true });
  if (page !== null) await rm(page.made, { force: true, recursive: true });
}

/** The recovery key must be shown, whatever else goes wrong. */
async function attempt<T>({ screen }: Context, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (thrown) {
    screen.warn(Failure.from(thrown).message);
    return null;
  }
}

interface Made {
  readonly config: Config;
  readonly identity: string;
  readonly recipient: string;
  readonly recoveryKey: string;
  readonly hasKit: boolean;
  readonly page: WrittenPage | null;
}

function documentOf({ config, identity, recipient, recoveryKey, hasKit, page }: Made): unknown {
  return {
    name: config.server.name,
    listen: formatAddress(config.server.listen),
    config: config.file,
    data: config.server.data,
    identity,
    recipient,
    recovery_key: recoveryKey,
    peer_add: peerAddCommand(config.server, identity),
    kit: hasKit ? kitPath(config) : null,
    page: page?.path ?? null,
  };
}

function textOf({ config, identity, recoveryKey, hasKit, page }: Made, look: Look): string {
  return `This is the recovery key of ${config.server.name}:

    ${look.bold(recoveryKey)}

Write it on paper now, and keep the paper away from this machine. It is stored nowhere and is never shown again.
Without it, no backup of this server can ever be opened, by anybody.
${page === null ? '' : pageText(page)}
${look.bold(config.server.name)} is ${look.bold(identity)}
Its configuration is ${config.file}.${hasKit ? kitText(config) : ''}

Next:
  1. Look at what is backed up, under \`backup\` in the configuration.
  2. Introduce this server to its peers, and them to it.
  3. Start the node: anemone-node --config ${shellWord(config.file)}

${introduction(config.server, identity)}`;
}

function pageText({ path, inMemory }: WrittenPage): string {
  return `
To print it, with the key as a code for a telephone, on one sheet: ${path}
PRINT IT NOW, AND THEN DELETE IT: it holds the recovery key.${inMemory ? ' It is in memory only, and gone after a restart.' : ''}
`;
}

function kitText(config: Config): string {
  return `
Its kit is ${kitPath(config)}: what a bare machine needs beside the recovery key. It is not secret; keep copies elsewhere.`;
}

function ownName(): Hostname {
  const [first = ''] = hostname().split('.');
  try {
    return parseHostname(first);
  } catch (cause) {
    throw new Failure('usage', `this machine is called ${JSON.stringify(first)}, which cannot name a server`, {
      cause,
      hint: 'Give it a name in the mesh: --name FR1.',
    });
  }
}
