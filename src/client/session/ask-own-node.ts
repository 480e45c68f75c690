import type { Config } from '../../mesh/config/config.js';
import { connectToOwnNode, type OwnNode } from '../../mesh/peers/own-node.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Context } from './context.js';

/** Puts one question to the node of this very server. Why it gives no answer is an answer too. */
export async function askOwnNode<T>(
  { clock, signal }: Pick<Context, 'clock' | 'signal'>,
  { server }: Pick<Config, 'server'>,
  ask: (node: OwnNode, signal: AbortSignal) => Promise<T>,
): Promise<T | { readonly failure: Failure }> {
  try {
    const node = await connectToOwnNode(server.socket, clock);
    try {
      return await ask(node, signal);
    } finally {
      node.close();
    }
  } catch (thrown) {
    return { failure: Failure.from(thrown) };
  }
}
