import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { SourceConfig } from '../../mesh/config/config.js';
import { archiveRoots } from '../../mesh/terms/archive-roots.js';
import { Failure } from '../../mesh/terms/failure.js';
import { compilePatterns } from '../../mesh/terms/path-pattern.js';
import { archive } from './archive.js';
import type { Source, SourceContext } from './source.js';
import { walk } from './walk.js';

type PathsConfig = Extract<SourceConfig, { kind: 'paths' }>;

/**
 * Files and folders as a tar.gz that depends on the tree alone: unchanged trees give unchanged bytes (on one version of
 * Node, whose zlib decides how they are compressed).
 */
export function pathsSource(config: PathsConfig, base: string, never: readonly string[]): Source {
  const excluded = compilePatterns(config.exclude);
  const roots = archiveRoots(config.paths, base);
  return {
    read: (context) => compress(archive(walk(roots, { ...context, excluded, never }), context), context),
  };
}

const chunkSize = 256 * 1024;

/** gzip without a time in its header. Leaving early also ends what it reads from. */
async function* compress(tar: AsyncGenerator<Uint8Array>, { signal }: SourceContext): AsyncGenerator<Uint8Array> {
  const gzip = createGzip({ chunkSize });
  const flow = pipeline(Readable.from(tar, { objectMode: false }), gzip, { signal });
  // Its error also ends the loop below, which tells it; a rejection that nobody awaits would end the process.
  flow.catch(() => {});
  try {
    yield* gzip;
    await flow;
  } catch (error) {
    throw Failure.from(signal.aborted ? new DOMException('', 'AbortError') : error, 'paths');
  } finally {
    gzip.destroy();
    await flow.catch(() => {});
    // What was aborted is over before a step that still hangs on the disk; whoever reads has to learn that it does.
    await tar.return(undefined);
  }
}
