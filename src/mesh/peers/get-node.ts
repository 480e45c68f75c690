import { type GetNodeResponse, PeerServiceService } from '../generated/anemone/peer/v1/peer.js';
import { callUnary } from '../wire/calls.js';
import { type Connection, controlPatience } from './connection.js';

/** Who answers there, its clock, and what we may still store. */
export function getNode(connection: Connection, signal?: AbortSignal): Promise<GetNodeResponse> {
  return callUnary(connection.control, PeerServiceService.getNode, {}, connection.context(controlPatience, signal));
}
