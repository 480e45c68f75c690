/** How text is dressed for whoever reads it: a person at a terminal, or a program behind a pipe. */
export interface Look {
  /** Columns are aligned for a person; without it they are separated by tabs, for `cut` and `awk`. */
  readonly terminal: boolean;
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warning(text: string): string;
  bad(text: string): string;
}

/**
 * @param colour whether escape sequences may be written; `NO_COLOR` and pipes say no
 */
export function makeLook(terminal: boolean, colour: boolean): Look {
  const dress = (open: number, close: number) => (text: string) =>
    colour && text !== '' ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  return {
    terminal,
    bold: dress(1, 22),
    dim: dress(2, 22),
    good: dress(32, 39),
    warning: dress(33, 39),
    bad: dress(31, 39),
  };
}
