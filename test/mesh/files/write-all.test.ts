import type { FileHandle } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { writeAll } from '../../../src/mesh/files/write-all.js';

function file(...takes: number[]): { readonly handle: FileHandle; readonly asked: number[][] } {
  const asked: number[][] = [];
  const handle = {
    async write(_bytes: Uint8Array, offset: number, length: number, position: number) {
      asked.push([offset, length, position]);
      return { bytesWritten: takes.shift() ?? 0 };
    },
  } as unknown as FileHandle;
  return { handle, asked };
}

it('all bytes are written at their place, also where a call takes some of them only', async () => {
  const { handle, asked } = file(3, 7);
  await writeAll(handle, new Uint8Array(10), 100);
  expect(asked).toEqual([
    [0, 10, 100],
    [3, 7, 103],
  ]);
});

it('a disk that takes no bytes is not asked for ever', async () => {
  await expect(writeAll(file(3).handle, new Uint8Array(10), 0)).rejects.toThrow('the disk takes no more bytes');
});
