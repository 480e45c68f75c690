import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';

/** A real terminal that a test types into, made by tmux with a server of its own. */
export interface Terminal {
  /** Everything on the screen and above it. */
  text(): string;
  /** Resolves when a text is on the screen. */
  until(expected: string | RegExp): Promise<void>;
  /** Types characters, as they are. */
  type(text: string): void;
  /** Presses keys by tmux's names: `Enter`, `C-c`. */
  press(...keys: readonly string[]): void;
  close(): void;
}

/** @throws Error that says so when tmux is not installed */
export function openTerminal(command: readonly string[], cwd: string): Terminal {
  if (spawnSync('tmux', ['-V']).error !== undefined) throw new Error('this test needs tmux: apt install tmux');
  const socket = `anemone-${randomBytes(6).toString('hex')}`;
  const tmux = (...args: readonly string[]): string =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...args], { encoding: 'utf8' });
  const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  // What the command leaves on the screen, and its exit code, stay until the terminal is closed.
  const shell = `${quoted}; echo "exit code $?"; exec sleep 600`;
  tmux('new-session', '-d', '-x', '150', '-y', '50', '-c', cwd, shell);
  const text = (): string => tmux('capture-pane', '-p', '-S', '-', '-t', '0').trimEnd();
  return {
    text,
    async until(expected) {
      for (let tries = 0; tries < 300; tries += 1) {
        const shown = text();
        if (typeof expected === 'string' ? shown.includes(expected) : expected.test(shown)) return;
        await setTimeout(100);
      }
      throw new Error(`the terminal never showed ${expected}; it shows:\n${text()}`);
    },
    type: (characters) => void tmux('send-keys', '-t', '0', '-l', characters),
    press: (...keys) => void tmux('send-keys', '-t', '0', ...keys),
    close: () => void tmux('kill-server'),
  };
}
