import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { peerRecipient } from '../../../src/node/outbox/peer-recipient.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { servers, VaultFixture } from '../vault/fixture.js';

const content = randomBytes(100_000);
const { facts, signed, digest } = manifestOf(content, servers.FR1.signer);

let fixture: VaultFixture;
let nodes: PeerNode[];
beforeEach(async () => {
  fixture = await VaultFixture.make();
  const peers = [peerConfig('FR1', servers.FR1)];
  nodes = [await startPeerNode({ name: 'FR2', peers }), await startPeerNode({ name: 'US1', peers })];
});
afterEach(async () => {
  for (const node of nodes) await node.stop();
  await fixture.remove();
});

it('asks the limit for each byte in the name of its peer, so that all peers get their turn', async () => {
  const vault = await fixture.open();
  const draft = await vault.draft();
  await draft.write(content);
  await draft.commit(signed);
  const asked: [peer: string, bytes: number][] = [];
  const limit = {
    take: async (peer: string, bytes: number) => void asked.push([peer, bytes]),
    piece: () => content.length,
    refresh() {},
  };
  for (const node of nodes) {
    const recipient = peerRecipient(node.callAs(servers.FR1), vault, servers.FR1.identity, limit);
    const options = { progress() {}, signal: new AbortController().signal };
    await recipient.deliver({ ...facts, digest, createdAt: facts.createdAtMs }, options);
  }
  expect(asked).toEqual([
    ['FR2', content.length],
    ['US1', content.length],
  ]);
});
