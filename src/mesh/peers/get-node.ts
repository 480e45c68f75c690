import type { GetNodeResponse } from '../generated/anemone/peer/v1/peer.js';
import { callUnary } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import { type Connection, controlPatience } from './connection.js';

/** Who answers there, its clock, and what we may still store. */
export function getNode(connection: Connection, signal?: AbortSignal): Promise<GetNodeResponse> {
  return callUnary(connection.control, peerService.getNode, {}, connection.context(controlPatience, signal));
}
