import type { Config } from '../../mesh/config/config.js';
import type { NodeCertificate } from '../../mesh/identity/node-certificate.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import type { Meet } from '../../mesh/peers/connection.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Screen } from '../render/screen.js';
import { seenKeysFile, stateFolder } from '../server/state-folder.js';
import type { Prompts } from './prompts.js';

/** 0: done, all of it. 3: partly. 1: failed, and the report that was shown says why. Any other end is a Failure. */
export type ExitCode = 0 | 1 | 3;

/** The flags that every command takes. */
export interface CommonFlags {
  readonly config?: string;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly json?: boolean;
  /** Seconds that a silent peer is waited for; undefined for the defaults. */
  readonly timeout?: number;
}

/** Everything that a command receives from outside. It reads no other clock, stream or variable. */
export interface Context {
  readonly screen: Screen;
  readonly prompts: Prompts;
  readonly clock: Clock;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
  readonly flags: CommonFlags;
  /** Of this program. */
  readonly version: string;
  /** Standard input, for `--key-stdin`. */
  readonly stdin: NodeJS.ReadStream;
  /**
   * The configuration of this server, read once.
   * @throws Failure `config`
   */
  loadConfig(): Promise<Config>;
  /**
   * What this server proves itself with, read once.
   * @throws Failure `config` when there is none yet
   */
  self(): Promise<ServerIdentity>;
  /**
   * Refuses whoever answers with a node key of a peer that is superseded, by what the node of this server has seen. Without a
   * configuration, that is nothing.
   */
  currentOnly(): Promise<Meet>;
}

/** Adds to what came from outside what is read on demand: `--help` reads nothing. */
export function makeContext(outside: Omit<Context, 'loadConfig' | 'self' | 'currentOnly'>): Context {
  const loadConfig = once(async () => {
    const [{ findConfig }, load] = await Promise.all([
      import('../../mesh/config/find.js'),
      import('../../mesh/config/load.js'),
    ]);
    const { config, hints } = await load.loadConfig(findConfig(outside.flags.config, outside.env, outside.cwd));
    for (const hint of hints) outside.screen.detail(hint);
    return config;
  });
  const self = once(async () => {
    const { loadServerIdentity } = await import('../../mesh/identity/server-identity.js');
    return loadServerIdentity(stateFolder(await loadConfig()));
  });
  const currentOnly = once(async (): Promise<Meet> => {
    const { readSeenKeys, refuseSuperseded } = await import('../../mesh/identity/seen-keys.js');
    // A node does not start with a file that it cannot read, as `doctor` says; a list is better than none.
    const seen = await loadConfig()
      .then((config) => readSeenKeys(seenKeysFile(config)))
      .catch(() => new Map<string, NodeCertificate>());
    return (peer, certificate) => refuseSuperseded(peer, certificate, seen.get(peer.identity));
  });
  return { ...outside, loadConfig, self, currentOnly };
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined;
  return () => {
    value ??= read();
    return value;
  };
}
