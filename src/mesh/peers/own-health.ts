import { HealthCheckResponse_ServingStatus, HealthDefinition } from '../generated/grpc/health/v1/health.js';
import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';
import { callUnary } from '../wire/calls.js';
import { methodsOf } from '../wire/methods.js';
import { openOwnChannel } from './own-channel.js';

const { check } = methodsOf(HealthDefinition);

/**
 * Asks the node of this server, by the gRPC health protocol over its unix socket, whether it serves.
 * @param socket absolute path
 * @throws Failure as {@link openOwnChannel} does; `timeout` when nobody answers, `failed` when the node says that it does not serve
 */
export async function askOwnHealth(socket: string, clock: Clock): Promise<void> {
  const channel = await openOwnChannel(socket, clock);
  try {
    const { status } = await callUnary(channel, check, { service: '' });
    if (status === HealthCheckResponse_ServingStatus.SERVING) return;
    throw new Failure('failed', `${channel.whom} does not serve`);
  } finally {
    channel.close();
  }
}
