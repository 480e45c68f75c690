import { Client, credentials } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';
import { callUnary } from '../wire/calls.js';
import { controlPatience } from './connection.js';

/**
 * Asks the node of this server, by the gRPC health protocol over its unix socket, whether it serves.
 * @param socket absolute path
 * @throws Failure `unreachable` or `timeout` when nobody answers, `failed` when the node says that it does not serve
 */
export async function askOwnHealth(socket: string, clock: Clock): Promise<void> {
  const check = service['Check'];
  if (check === undefined) throw new Failure('failed', 'grpc-health-check has no Check');
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
  try {
    const whom = 'the node of this server';
    const answer = await callUnary(client, check, { service: '' }, { whom, clock, patience: controlPatience });
    if ((answer as { status?: unknown }).status !== 'SERVING') throw new Failure('failed', `${whom} does not serve`);
  } finally {
    client.close();
  }
}
