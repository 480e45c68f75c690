import { formatAddress } from '../../mesh/terms/address.js';
import { introduction, peerAddCommand } from '../render/introduction.js';
import type { Context, ExitCode } from '../session/context.js';

/** Shows this server's identity, and what its peers need to know of it. */
export async function showIdentity(context: Context): Promise<ExitCode> {
  const { server, backup } = await context.loadConfig();
  const { identity } = await context.self();
  const recipients = backup.encryption.format === 'age' ? backup.encryption.recipients : [];
  context.screen.result(
    {
      name: server.name,
      address: formatAddress(server.listen),
      identity,
      recipients,
      peer_add: peerAddCommand(server, identity),
    },
    (look) =>
      [
        `${look.bold(server.name)} is ${look.bold(identity)}`,
        ...recipients.map((recipient) => `Its backups are sealed to ${recipient}`),
        '',
        introduction(server, identity),
      ].join('\n'),
  );
  return 0;
}
