import type { SourceConfig } from '../../mesh/config/config.js';
import { commandSource } from './command.js';
import { httpExportSource } from './http-export.js';
import { pathsSource } from './paths.js';
import type { Source } from './source.js';

/**
 * The source that a configuration describes.
 * @param base absolute; relative paths, and the working folder of commands, are relative to it
 * @param never absolute folders that are always left out of `paths`: the vault and the logs
 * @throws Failure `config`
 */
export function openSource(config: SourceConfig, base: string, never: readonly string[]): Source {
  switch (config.kind) {
    case 'paths':
      return pathsSource(config, base, never);
    case 'url':
      return httpExportSource(config);
    case 'command':
      return commandSource(config, base);
  }
}
