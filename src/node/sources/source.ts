import type { SourceConfig } from '../../mesh/config/config.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { commandSource } from './command.js';
import { httpExportSource } from './http-export.js';
import { pathsSource } from './paths.js';

export interface SourceContext {
  /** Stops the reading: the stream then throws Failure `interrupted`. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Told what is missing or doubtful in the stream, although the stream itself is good. May be called many times. */
  warn(message: string): void;
}

/** Where the bytes of a set come from. */
export interface Source {
  /**
   * Starts reading from the beginning; nothing happens before the first chunk is asked for. The stream is complete only
   * when it ends without throwing: a source that finds out late that its bytes are no good throws at the end.
   * @throws Failure (while the stream is read)
   */
  read(context: SourceContext): Bytes;
}

/**
 * The source that a configuration describes.
 * @param base absolute; relative paths, and the working folder of commands, are relative to it
 * @param never absolute folders that are always left out of `paths`: the vault and the logs
 * @param sealed whether the set promises ciphertext, so that an export of readable text is refused
 * @throws Failure `config`
 */
export function openSource(config: SourceConfig, base: string, never: readonly string[], sealed = false): Source {
  switch (config.kind) {
    case 'paths':
      return pathsSource(config, base, never);
    case 'url':
      return httpExportSource(config, sealed);
    case 'command':
      return commandSource(config, base);
  }
}
