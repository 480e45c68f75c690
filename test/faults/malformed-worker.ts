import { parentPort, workerData } from 'node:worker_threads';
import { Failure } from '../../src/mesh/terms/failure.js';
import { mutate } from './mutate.js';
import { allParsers, type Parser } from './parsers.js';
import { seeded } from './random.js';

// Feeds malformed inputs to every parser, and posts what went wrong. It writes the number of the current input where the
// main thread sees it, also when a parser never comes back.

interface Work {
  readonly seed: number;
  readonly inputs: number;
  readonly root: string;
  /** Int32: the current input. */
  readonly progress: SharedArrayBuffer;
}

/** Inputs after which the caches of everything are full. */
const warm = 2_000;

async function main({ seed, inputs, root, progress }: Work): Promise<void> {
  const parsers = await allParsers(root);
  const weighted = parsers.flatMap((parser) => Array.from({ length: parser.weight }, () => parser));
  const others = parsers.flatMap(({ valid }) => valid);
  const current = new Int32Array(progress);
  for (const { name, valid, read } of parsers) {
    for (const bytes of valid) {
      const refused = await attempt({ name, weight: 1, valid, read }, bytes, false);
      if (refused !== null) parentPort?.postMessage({ wrong: `${name} refuses what is valid: ${refused}` });
    }
  }
  let before = 0;
  for (let input = 0; input < inputs; input += 1) {
    Atomics.store(current, 0, input + 1);
    // Each input has a seed of its own, so that one alone can be tried again.
    const random = seeded(seed + input);
    const parser = random.pick(weighted);
    const wrong = await attempt(parser, mutate(random.pick(parser.valid), others, random));
    if (wrong !== null) parentPort?.postMessage({ wrong: `input ${seed + input}, ${parser.name}: ${wrong}` });
    if (input === Math.min(warm, inputs >> 1)) before = heap();
  }
  parentPort?.postMessage({ growth: heap() - before });
}

async function attempt(parser: Parser, bytes: Buffer, mayRefuse = true): Promise<string | null> {
  const start = performance.now();
  let wrong: string | null = null;
  try {
    const accepted = await parser.read(bytes);
    if (accepted !== null) wrong = `accepted ${accepted}`;
  } catch (thrown) {
    const expected = mayRefuse && (thrown instanceof Failure || isDecodingError(thrown));
    if (!expected) wrong = `threw ${thrown instanceof Error ? thrown.stack : String(thrown)}`;
  }
  const took = performance.now() - start;
  return took > 5_000 ? `took ${Math.round(took)} ms` : wrong;
}

/** What the protobuf decoder throws: grpc-js turns it into a status before any code of ours runs. */
function isDecodingError(thrown: unknown): boolean {
  return thrown instanceof Error && /@bufbuild\/protobuf|mesh\/generated/.test(thrown.stack ?? '');
}

function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

await main(workerData as Work);
