import type { Output } from '../../src/client/render/output.js';

/** What a program says, for a test to read. @param terminal whether it says that to a terminal, else to pipes */
export function keptOutput({ terminal = false, columns = 80, flushed = async (): Promise<null> => null } = {}) {
  const said = { stdout: '', stderr: '' };
  const output = (stream: keyof typeof said): Output => ({
    terminal,
    columns: () => columns,
    write: (text) => {
      said[stream] += text;
    },
    flushed,
  });
  return { said, out: output('stdout'), err: output('stderr') };
}
