import type { Row } from './row.js';

/** The rows as lines of aligned columns. */
export function renderRows(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.work,
    row.goal,
    row.value === null ? '' : `${precise(row.value)} ${row.unit}`,
    row.met === null ? '' : row.met ? 'met' : 'NOT MET',
    row.detail,
  ]);
  const all = [['WORK', 'GOAL', 'MEASURED', '', 'MEDIANS'], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  return all
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Three digits that mean something. */
export function precise(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
