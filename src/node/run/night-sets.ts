import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Config } from '../../mesh/config/config.js';
import { readSecretFile } from '../../mesh/config/secrets.js';
import { ageSealer } from '../../mesh/envelope/age.js';
import { cbc1Sealer } from '../../mesh/envelope/anemone-cbc1.js';
import type { Sealer } from '../../mesh/envelope/envelope.js';
import type { Signer } from '../../mesh/identity/signer.js';
import { makeTravellingKit } from '../../mesh/kit/make-kit.js';
import { kitSet } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { openSource } from '../sources/open-source.js';
import type { NightSet, Sealing } from './keep-set.js';

/**
 * The sets of a configuration, and the kit of this server, which travels with them.
 * @param only the name of one set, or the empty string for all
 * @throws Failure `not-found` when there is no such set, `config` when there is none at all
 */
export function setsOf(config: Config, only: string, signer: Signer): NightSet[] {
  const { backup, base, server } = config;
  if (only === kitSet) return [setOfKit(config, signer)];
  const chosen = backup.sets.filter(({ name }) => only === '' || name === only);
  const hint = `Sets are configured under backup.sets: ${backup.sets.map(({ name }) => name).join(', ') || 'there is none'}.`;
  if (chosen.length === 0 && only !== '') throw new Failure('not-found', `there is no set ${only}`, { hint });
  if (chosen.length === 0) throw new Failure('config', 'nothing is backed up: no set is configured', { hint });
  const never = [server.data, server.logs];
  const sets = chosen.map(
    ({ name, source, sealed }): NightSet => ({
      name,
      sealed,
      silence: 'timeout' in source ? source.timeout * 1000 : 0,
      read: (context) => openSource(source, base, never).read(context),
    }),
  );
  return only === '' ? [...sets, setOfKit(config, signer)] : sets;
}

/** What a scheduled night makes: nothing on a server that only keeps the backups of others. */
export function nightSetsOf(config: Config, signer: Signer): NightSet[] {
  return config.backup.sets.length === 0 ? [] : setsOf(config, '', signer);
}

/** What a bare machine needs, so that one peer and the recovery key are enough to find all others. */
function setOfKit(config: Config, signer: Signer): NightSet {
  return {
    name: kitSet,
    sealed: false,
    incremental: true,
    async *read() {
      yield Buffer.from((await makeTravellingKit(config, signer)).text);
    },
  };
}

/** A set whose next backup is a file that is sealed already. */
export function setFromFile(name: string, path: string): NightSet {
  return {
    name,
    sealed: true,
    async *read({ signal, reading }) {
      reading(path);
      try {
        yield* createReadStream(path, { highWaterMark: 256 * 1024, signal });
      } catch (thrown) {
        throw Failure.from(thrown, `${path} cannot be read by the node`);
      }
    },
  };
}

/** How the configuration says that backups are sealed. */
export function sealingOf({ backup }: Config, warn: (message: string) => void): Sealing {
  const { encryption, mode } = backup;
  if (encryption.format === 'age') {
    const { recipients } = encryption;
    return { mode, sealer: async () => ageSealer(recipients), sealedFor: nameOf('age', ...recipients) };
  }
  const { format, passwordFile } = encryption;
  const sealer = async (): Promise<Sealer> => cbc1Sealer(await readSecretFile(passwordFile, warn));
  return { mode, sealer, sealedFor: nameOf(format, passwordFile) };
}

function nameOf(format: string, ...recipients: readonly string[]): string {
  return `${format} ${createHash('sha256').update(recipients.join('\n')).digest('hex').slice(0, 16)}`;
}
