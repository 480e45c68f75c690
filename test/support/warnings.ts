import { setImmediate } from 'node:timers/promises';

/** The names of what Node.js itself warns of while something is done. */
export async function warningsOf(action: () => Promise<unknown>): Promise<string[]> {
  const warned: string[] = [];
  const warn = ({ name }: Error): number => warned.push(name);
  process.on('warning', warn);
  try {
    await action();
    // It tells in a turn of its own.
    await setImmediate();
  } finally {
    process.off('warning', warn);
  }
  return warned;
}
