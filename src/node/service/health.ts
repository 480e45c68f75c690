import { once } from 'node:events';
import {
  HealthDefinition,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../mesh/generated/grpc/health/v1/health.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { methodsOf } from '../../mesh/wire/methods.js';
import { type Answer, answersTo } from './answers.js';

/**
 * Says by the gRPC health protocol that services serve, to whoever has a connection.
 * @param services their names; '' stands for the whole node
 */
export function healthAnswers(services: readonly string[], clock: Clock): Answer[] {
  const { check, watch, list } = methodsOf(HealthDefinition);
  const anyone = answersTo(() => null, clock);
  return [
    anyone.unary(check, ({ service }) => {
      if (!services.includes(service)) throw new Failure('not-found', 'there is no such service');
      return { status: Serving.SERVING };
    }),
    anyone.unary(list, () => ({
      statuses: Object.fromEntries(services.map((service) => [service, { status: Serving.SERVING }])),
    })),
    anyone.serverStream(watch, async function* ({ service }, { signal }) {
      yield { status: services.includes(service) ? Serving.SERVING : Serving.SERVICE_UNKNOWN };
      // Nothing of it changes while the node runs.
      if (!signal.aborted) await once(signal, 'abort');
    }),
  ];
}
