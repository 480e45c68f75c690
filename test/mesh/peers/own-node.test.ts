import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { NodeServiceDefinition } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { ListBackupsResponse, PeerServiceDefinition } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { listBackups, listPages } from '../../../src/mesh/peers/list-backups.js';
import { askOwnHealth } from '../../../src/mesh/peers/own-health.js';
import { connectToOwnNode } from '../../../src/mesh/peers/own-node.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { statusFromFailure } from '../../../src/mesh/wire/status.js';
import { grpcService, grpcStatus } from '../../support/grpc.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let socket: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  socket = join(folder, 'node.sock');
});

const notRunning = {
  kind: 'unreachable',
  message: expect.stringContaining('is not running'),
  hint: expect.stringContaining('anemone-node'),
};

describe('the node of this server', () => {
  it('is told to be not running, with how to start it, when there is no socket', async () => {
    await expect(connectToOwnNode(socket, systemClock)).rejects.toMatchObject(notRunning);
  });

  it('is told the same of a socket that a killed node left behind', async () => {
    await writeFile(socket, '');
    await expect(connectToOwnNode(socket, systemClock)).rejects.toMatchObject(notRunning);
  });

  it('answers over its socket, and its failures arrive as what they are', async () => {
    const server = new Server();
    const locked = grpcStatus(statusFromFailure(new Failure('locked', 'another run is under way', { hint: 'Wait.' })));
    server.addService(grpcService(NodeServiceDefinition), {
      runBackup: (call: { emit(name: string, error: unknown): void }) => call.emit('error', locked),
      reload: (_: unknown, callback: (error: null, answer: unknown) => void) =>
        callback(null, { needsRestart: ['server.listen'] }),
    });
    await new Promise((resolve) => server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), resolve));
    const node = await connectToOwnNode(socket, systemClock);
    expect(await node.reload()).toEqual(['server.listen']);
    const run = node.runBackup({ set: '', force: false });
    await expect(run.next()).rejects.toMatchObject({ kind: 'locked', hint: 'Wait.' });
    node.close();
    server.forceShutdown();
  });

  it('gives a list that is longer than any that a peer may give', async () => {
    const server = new Server();
    const page = ListBackupsResponse.fromPartial({ backups: new Array(100_001).fill({}) });
    server.addService(grpcService(PeerServiceDefinition), {
      listBackups(call: { write(message: unknown): void; end(): void }) {
        call.write(page);
        call.end();
      },
    });
    await new Promise((resolve) => server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), resolve));
    const node = await connectToOwnNode(socket, systemClock);
    await expect(listBackups(node, { owner: '', set: '' })).resolves.toHaveLength(100_001);
    node.close();
    server.forceShutdown();
  });

  it('that is of an older version is told to be, with what to do', async () => {
    const server = new Server();
    server.addService(grpcService(NodeServiceDefinition), {});
    await new Promise((resolve) => server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), resolve));
    const node = await connectToOwnNode(socket, systemClock);
    await expect(listPages(node, { owner: '', set: '' }).next()).rejects.toMatchObject({
      kind: 'failed',
      message: 'the node of this server does not know this call: it runs an older version',
      hint: expect.stringContaining('systemctl restart anemone-node'),
    });
    node.close();
    server.forceShutdown();
  });

  it('that goes away in the middle of a run is a failure, never a clean end', async () => {
    const server = new Server();
    server.addService(grpcService(NodeServiceDefinition), {
      runBackup: (call: { write(message: unknown): void }) =>
        call.write({ event: { event: { $case: 'seal', value: { set: 'backup', bytes: 1, backup: '' } } } }),
    });
    await new Promise((resolve) => server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), resolve));
    const node = await connectToOwnNode(socket, systemClock);
    const run = node.runBackup({ set: '', force: false });
    expect((await run.next()).value?.event?.$case).toBe('seal');
    const next = run.next();
    server.forceShutdown();
    await expect(next).rejects.toThrow('the node of this server');
    node.close();
  });
});

describe('the health of the node of this server', () => {
  const serving = async (status: 'SERVING' | 'NOT_SERVING'): Promise<Server> => {
    const server = new Server();
    new HealthImplementation({ '': status }).addToServer(server);
    await new Promise((resolve) => server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), resolve));
    return server;
  };

  it('is good while it says that it serves', async () => {
    const server = await serving('SERVING');
    await expect(askOwnHealth(socket, systemClock)).resolves.toBeUndefined();
    server.forceShutdown();
  });

  it('is bad when it says that it does not', async () => {
    const server = await serving('NOT_SERVING');
    await expect(askOwnHealth(socket, systemClock)).rejects.toMatchObject({
      kind: 'failed',
      message: 'the node of this server does not serve',
    });
    server.forceShutdown();
  });

  it('is told with how to start it when it is not running', async () => {
    await expect(askOwnHealth(socket, systemClock)).rejects.toMatchObject(notRunning);
  });
});
