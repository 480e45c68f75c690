import type { Config } from '../mesh/config/config.js';
import { holdFolder } from '../mesh/files/hold-folder.js';
import { Failure } from '../mesh/terms/failure.js';
import { checkNobodyServes } from './service/own-server.js';

/**
 * Keeps other programs from changing a data folder, from before its vault is opened until after it is closed. The socket alone
 * does not: a node that ends takes no calls any more, while its transfers go on.
 * @returns what lets others in
 * @throws Failure `config` when another node serves there, `locked` when one is starting or ending, or `--prune` runs
 */
export async function holdData({ data, socket }: Config['server']): Promise<() => Promise<void>> {
  await checkNobodyServes(socket);
  return holdFolder(data, 'anemone-node', (cause) => {
    return new Failure('locked', `another node has ${data} for itself: it is still ending, or starting, or it prunes`, {
      cause,
      hint: 'Start again in a moment: a node gives the calls of its peers 10 s to end.',
      retryable: true,
    });
  });
}
