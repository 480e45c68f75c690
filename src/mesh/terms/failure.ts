/**
 * The one error of this program. Whoever raises it knows best what happened, so it says everything a person needs
 * (what, to which backup and peer, what to do) and whether trying again can help. It is translated at two edges only:
 * into a gRPC status in `wire/status.ts`, and into an exit code by `exit-code.ts`.
 */
export type FailureKind =
  /** The call itself is wrong: an unknown flag, a missing argument. */
  | 'usage'
  /** A configuration or key file is missing or wrong. */
  | 'config'
  /** No such backup, set or server. */
  | 'not-found'
  /** Another run is under way. */
  | 'locked'
  /** The key given does not open this backup; nothing is known about whether the backup is damaged. */
  | 'wrong-key'
  /** Bytes are not what their digest, authentication tag or format says. */
  | 'damaged'
  /** An identity, certificate or signature that is not the expected one. */
  | 'untrusted'
  /** The caller is known and may not do this. */
  | 'forbidden'
  /** The name is taken by a backup with another digest. */
  | 'conflict'
  /** The quota of a peer, or the free disk of a server, is not enough. */
  | 'no-space'
  /** A path, name or size that is not acceptable, whoever asks. */
  | 'invalid'
  /** A peer (or the own node) cannot be reached, or went away. */
  | 'unreachable'
  /** A deadline passed, or no progress was made for too long. */
  | 'timeout'
  /** The user, or a shutdown, stopped it. */
  | 'interrupted'
  /** Everything else: a disk that fails, a source that ends with an error, a bug. */
  | 'failed';

export interface FailureOptions {
  readonly cause?: unknown;
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly retryable?: boolean;
  /** What to do now, as one sentence or one command. */
  readonly hint?: string | undefined;
}

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly kind: FailureKind;
  readonly retryable: boolean;
  readonly hint: string | undefined;

  constructor(kind: FailureKind, message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.retryable = options.retryable ?? (kind === 'unreachable' || kind === 'timeout');
    this.hint = options.hint;
  }

  /** The same with more words before it, and with a hint of whoever adds them in place of its own. */
  within(context: string, { hint = this.hint }: Pick<FailureOptions, 'hint'> = {}): Failure {
    return new Failure(this.kind, `${context}: ${this.message}`, { cause: this, retryable: this.retryable, hint });
  }

  /** Any thrown value as a Failure; one that already is stays as it is. An abort becomes `interrupted`. */
  static from(thrown: unknown, context = ''): Failure {
    if (thrown instanceof Failure) return thrown;
    const prefix = context === '' ? '' : `${context}: `;
    if (thrown instanceof Error) {
      if (thrown.name === 'AbortError') return new Failure('interrupted', `${prefix}interrupted`, { cause: thrown });
      const code = (thrown as NodeJS.ErrnoException).code;
      if (code === 'ENOSPC' || code === 'EDQUOT') {
        return new Failure('no-space', `${prefix}${thrown.message}`, { cause: thrown, retryable: true });
      }
      return new Failure('failed', `${prefix}${thrown.message}`, { cause: thrown });
    }
    return new Failure('failed', `${prefix}${String(thrown)}`, { cause: thrown });
  }
}
