/** A standard stream as the screen sees it. */
export interface Output {
  readonly terminal: boolean;
  /** Width in characters; 80 where it is not known. */
  columns(): number;
  write(text: string): void;
  /** Waits until what was written has left. @returns why not all of it could, or null */
  flushed(): Promise<NodeJS.ErrnoException | null>;
}
