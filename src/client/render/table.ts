import Table from 'cli-table3';
import { printable } from '../../mesh/terms/clean-text.js';
import type { Look } from './look.js';

/** A cell: text, or text with a dress of the Look that must not count as width. Text is made printable here. */
export type Cell = string | { readonly text: string; readonly dress: (text: string) => string };

/**
 * Rows under headings, if there are any. On a terminal the columns are aligned and separated by two spaces; behind a pipe
 * there is one plain line a row, cells separated by tabs, and no heading, so that `cut -f1` gives the first column.
 */
export function renderTable(look: Look, headings: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (!look.terminal) return rows.map((row) => row.map((cell) => printable(textOf(cell))).join('\t')).join('\n');
  const table = new Table({ chars: noBorders, style: { 'padding-left': 0, 'padding-right': 2, head: [], border: [] } });
  table.push(
    ...(headings.length === 0 ? [] : [headings.map((heading) => look.dim(heading))]),
    ...rows.map((row) => row.map(dressed)),
  );
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const noBorders = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid', 'middle'].flatMap((name) =>
    ['', '-mid', '-left', '-right'].map((part) => [`${name}${part}`, '']),
  ),
);

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

function dressed(cell: Cell): string {
  const text = printable(textOf(cell));
  return typeof cell === 'string' ? text : cell.dress(text);
}
