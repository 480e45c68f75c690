import { stat } from 'node:fs/promises';
import { faultsOf } from '../render/faults.js';
import {
  type MeshStatus,
  type PeerView,
  refusalOf,
  statusDocument,
  statusHints,
  statusText,
} from '../render/status.js';
import { lastDrill } from '../server/drills.js';
import { stateFolder } from '../server/state-folder.js';
import { askOwnNode } from '../session/ask-own-node.js';
import { askNodes } from '../session/ask-peers.js';
import type { Context, ExitCode } from '../session/context.js';
import { overdueBefore } from '../session/overdue.js';

/**
 * Shows this node and its peers, each asked now. 3 when the own node or a peer did not answer, a peer does not get what it is
 * owed and that will not pass, or this server does not save what it should.
 */
export async function showStatus(context: Context): Promise<ExitCode> {
  const config = await context.loadConfig();
  const [node, answers] = await Promise.all([
    askOwnNode(context, config, (own, signal) => own.getStatus(signal)),
    askNodes(context),
  ]);
  const peers = config.peers.map((peer): PeerView => {
    const owed = 'failure' in node ? undefined : node.peers.find(({ name }) => name === peer.name);
    return { config: peer, answer: answers.get(peer.name), ...(owed === undefined ? {} : { status: owed }) };
  });
  const self = await context.self();
  const drill = await lastDrill(stateFolder(config));
  const now = context.clock.now();
  // Not the time of its content, which a copy may bring along.
  const { ctimeMs: configuredAt } = await stat(config.file);
  const standard = { config, self, configuredAt, overdue: overdueBefore(config, now), now };
  const status: MeshStatus = { ...standard, node, peers, drill };
  context.screen.result(statusDocument(status), (look) => statusText(status, look));
  for (const hint of statusHints(status)) context.screen.note(hint);
  const silent = peers.some(({ answer }) => answer !== undefined && 'failure' in answer);
  const refused = peers.some((peer) => refusalOf(peer, self) !== null);
  if ('failure' in node) context.screen.warn(`${node.failure.message}. ${node.failure.hint ?? ''}`.trimEnd());
  return silent || refused || 'failure' in node || faultsOf(node, status).length > 0 ? 3 : 0;
}
