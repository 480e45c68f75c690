import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Mesh, withMesh } from '../../support/mesh.js';
import { clientProgram } from '../../support/program.js';
import { openTerminal, type Terminal } from '../../support/terminal.js';

/** FR1 with one backup on FR2, and the folder of a bare machine beside them. */
async function worstDay(body: (mesh: Mesh, bare: string) => Promise<void>): Promise<void> {
  await withMesh(['FR1', 'FR2'], async ([fr1, fr2], mesh) => {
    await writeFile(join(fr1.folder, 'config/secret'), 'kept');
    await Promise.all([fr1.start(), fr2.start()]);
    expect((await fr1.peer(['backup'])).code).toBe(0);
    await fr1.stop();
    const bare = join(mesh.root, 'bare');
    await mkdir(bare);
    await body(mesh, bare);
  });
}

async function inTerminal(command: readonly string[], cwd: string, body: (terminal: Terminal) => Promise<void>) {
  const terminal = openTerminal([process.execPath, clientProgram, ...command], cwd);
  try {
    await body(terminal);
  } finally {
    terminal.close();
  }
}

/** No group of a key that was typed is on the screen. */
function expectHidden(terminal: Terminal, recoveryKey: string): void {
  const shown = terminal.text().toUpperCase().replaceAll('\n', '');
  for (const group of recoveryKey.split('-').filter(({ length }) => length > 4)) expect(shown).not.toContain(group);
}

describe('a person at a terminal', () => {
  it('brings a bare machine back: confirms the peer, types the key unseen, picks a number, says yes', async () => {
    await worstDay(async (mesh, bare) => {
      const { recoveryKey } = mesh.server('FR1');
      const { address, identity } = mesh.server('FR2');
      await inTerminal(['restore', '--server', 'FR1', '--peer', address], bare, async (terminal) => {
        await terminal.until(identity);
        await terminal.until('Is this one of your servers?');
        terminal.type('y');
        terminal.press('Enter');
        await terminal.until('Recovery key:');
        terminal.type(recoveryKey.toLowerCase());
        terminal.press('Enter');
        await terminal.until(/1 +anemone-backup-FR1-\d{8}-\d{6}\.enc.*FR2/);
        terminal.type('1');
        terminal.press('Enter');
        await terminal.until('let this machine be FR1 from now on');
        expect(await readdir(bare)).toEqual([
          expect.stringMatching(/^\.anemone-restore-/),
          expect.stringMatching(/^\.anemone-restore-/),
        ]);
        terminal.type('y');
        terminal.press('Enter');
        await terminal.until('exit code 0');
        expectHidden(terminal, recoveryKey);
      });
      expect(await readFile(join(bare, 'config/secret'), 'utf8')).toBe('kept');
    });
  });

  it('comes back with the kit: a wrong key and a wrong number are asked for again, no is no, and yes is FR1', async () => {
    await worstDay(async (mesh, bare) => {
      const [fr1, fr2] = [mesh.server('FR1'), mesh.server('FR2')];
      await copyFile(join(fr1.folder, 'config/anemone-kit-FR1.txt'), join(bare, 'anemone-kit-FR1.txt'));
      const restore = ['restore', '--kit', 'anemone-kit-FR1.txt'];
      const answer = async (terminal: Terminal, question: string, typed: string): Promise<void> => {
        await terminal.until(question);
        terminal.type(typed);
        terminal.press('Enter');
      };
      await inTerminal(restore, bare, async (terminal) => {
        await terminal.until('is the kit of FR1. Its peers: FR2.');
        await answer(terminal, 'Recovery key:', fr1.recoveryKey.slice(0, -1));
        await answer(terminal, '57 characters instead of 58', fr2.recoveryKey);
        await answer(terminal, 'this is the recovery key of FR2', fr1.recoveryKey.toLowerCase().replaceAll('-', ' '));
        await answer(terminal, 'or q to leave', '7');
        await answer(terminal, 'Give a number from 1 to 1, or q.', '1');
        await answer(terminal, 'let this machine be FR1 from now on', 'n');
        await terminal.until('nothing was restored');
        await terminal.until('exit code 130');
        for (const key of [fr1.recoveryKey, fr2.recoveryKey]) expectHidden(terminal, key);
      });
      expect(await readdir(bare)).toEqual(['anemone-kit-FR1.txt']);
      await inTerminal(restore, bare, async (terminal) => {
        const [beginning, end] = [fr1.recoveryKey.slice(0, 35), fr1.recoveryKey.slice(35)];
        await answer(terminal, 'Recovery key:', `${beginning}\r    ${end}`);
        await answer(terminal, 'or q to leave', 'q');
        await terminal.until('nothing was restored');
        await terminal.until('exit code 130');
      });
      expect(await readdir(bare)).toEqual(['anemone-kit-FR1.txt']);
      await inTerminal(restore, bare, async (terminal) => {
        await answer(terminal, 'Recovery key:', fr1.recoveryKey);
        await answer(terminal, 'or q to leave', '1');
        await answer(terminal, 'let this machine be FR1 from now on', 'y');
        await terminal.until('Taken by FR2');
        await terminal.until(/Start the node now: .*anemone-node --config/);
        await terminal.until('exit code 0');
      });
      expect(await readFile(join(bare, 'config/secret'), 'utf8')).toBe('kept');
    });
  });

  it('learns that nobody answers, or says no to the peer, before a key is asked for', async () => {
    await worstDay(async (mesh, bare) => {
      await inTerminal(['restore', '--server', 'FR1', '--peer', '127.0.0.1:1'], bare, async (terminal) => {
        await terminal.until('Is the VPN up');
        await terminal.until('exit code 75');
        expect(terminal.text()).not.toContain('Recovery key');
      });
      const { address } = mesh.server('FR2');
      await inTerminal(['restore', '--server', 'FR1', '--peer', address], bare, async (terminal) => {
        await terminal.until('Is this one of your servers?');
        terminal.press('Enter');
        await terminal.until('was not confirmed');
        await terminal.until('exit code 13');
        expect(terminal.text()).not.toContain('Recovery key');
      });
      expect(await readdir(bare)).toEqual([]);
    });
  });

  it('leaves with q, or with Ctrl-C at the last question, and nothing was written', async () => {
    await worstDay(async (mesh, bare) => {
      const { recoveryKey } = mesh.server('FR1');
      const { address, identity } = mesh.server('FR2');
      const command = ['restore', '--server', 'FR1', '--peer', `${address}#${identity}`];
      const begin = async (terminal: Terminal): Promise<void> => {
        await terminal.until('Recovery key:');
        terminal.type(recoveryKey);
        terminal.press('Enter');
        await terminal.until('or q to leave');
      };
      await inTerminal(command, bare, async (terminal) => {
        await begin(terminal);
        terminal.type('q');
        terminal.press('Enter');
        await terminal.until('exit code 130');
      });
      await inTerminal(command, bare, async (terminal) => {
        await begin(terminal);
        terminal.type('1');
        terminal.press('Enter');
        await terminal.until('Put it in place');
        terminal.press('C-c');
        await terminal.until('exit code 130');
      });
      expect(await readdir(bare)).toEqual([]);
    });
  });

  it('loses the connection at the last question, and nothing of the backup stays behind', async () => {
    await worstDay(async (mesh, bare) => {
      const { recoveryKey } = mesh.server('FR1');
      const { address, identity } = mesh.server('FR2');
      const ended = join(mesh.root, 'ended');
      const command = `trap '' HUP; "$0" "$@"; echo $? >'${ended}'`;
      const restore = ['restore', 'latest', '--server', 'FR1', '--peer', `${address}#${identity}`];
      const terminal = openTerminal(['sh', '-c', command, process.execPath, clientProgram, ...restore], bare);
      try {
        await terminal.until('Recovery key:');
        terminal.type(recoveryKey);
        terminal.press('Enter');
        await terminal.until('let this machine be FR1 from now on');
      } finally {
        terminal.close();
      }
      const code = () => readFile(ended, 'utf8').catch(() => '');
      for (let tries = 0; tries < 300 && (await code()) === ''; tries += 1) await setTimeout(100);
      expect(await code()).toBe('129\n');
      expect(await readdir(bare)).toEqual([]);
    });
  });
});
