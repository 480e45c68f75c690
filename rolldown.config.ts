import { defineConfig } from 'rolldown';

/** Bundles the programs: a command that opens 30 files starts sooner than one that opens 270. */
export default defineConfig({
  input: { 'client/main': 'src/client/main.ts', 'node/main': 'src/node/main.ts', 'demo/main': 'src/demo/main.ts' },
  platform: 'node',
  // They look for files beside their own.
  external: ['pino', 'pino-pretty'],
  // Files that a module reads go along, and are read where they went.
  experimental: { resolveNewUrlToAsset: true },
  output: { dir: 'dist', chunkFileNames: 'chunks/[name].js' },
});
