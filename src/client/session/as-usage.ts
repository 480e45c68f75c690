import { Failure } from '../../mesh/terms/failure.js';

/**
 * Reads a value that the caller typed: what a parser refuses is wrong usage then, not an attack.
 * @param flag how the caller named it, such as `--listen`
 * @throws Failure `usage`
 */
export function asUsage<T>(flag: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    const { message, hint } = Failure.from(thrown);
    throw new Failure('usage', `${flag}: ${message}`, { cause: thrown, hint });
  }
}
