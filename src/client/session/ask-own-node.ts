import type { Config } from '../../mesh/config/config.js';
import { connectToOwnNode, type OwnNode } from '../../mesh/peers/own-node.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Context } from './context.js';

/**
 * Does something through the node of this very server.
 * @throws Failure `unreachable` when it does not run
 */
export async function withOwnNode<T>(
  { clock, signal }: Pick<Context, 'clock' | 'signal'>,
  { server }: Pick<Config, 'server'>,
  use: (node: OwnNode, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const node = await connectToOwnNode(server.socket, clock);
  try {
    return await use(node, signal);
  } finally {
    node.close();
  }
}

/** Puts one question to the node of this very server. Why it gives no answer is an answer too. */
export function askOwnNode<T>(
  context: Pick<Context, 'clock' | 'signal'>,
  config: Pick<Config, 'server'>,
  ask: (node: OwnNode, signal: AbortSignal) => Promise<T>,
): Promise<T | { readonly failure: Failure }> {
  return withOwnNode(context, config, ask).catch((thrown: unknown) => ({ failure: Failure.from(thrown) }));
}
