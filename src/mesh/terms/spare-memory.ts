import { setFlagsFromString } from 'node:v8';

/*
 * Imported first by both programs. V8 lets the space of young objects grow to 32 MB under load and keeps it. Here the
 * load lies outside of it, in the chunks of a transfer; kept small, it is also swept more often, and lets go of them.
 *
 * Sweeping a megabyte is not worth waking other threads for: the first line of both programs asks V8 for one, which halves
 * the processor time of whoever sends a backup. That cannot be asked for any more once V8 runs.
 *
 * With one thread, marking in small steps takes so long that much of what comes meanwhile outlives its use: up to 60 MB with
 * Node.js 24 and 26. In one go it takes one or two milliseconds for each megabyte of objects.
 */
setFlagsFromString('--semi-space-growth-factor=1');
setFlagsFromString('--no-incremental-marking');

/** For work whose objects stay until its end, such as a list: the space grows then, so that they are moved less often. */
export function growYoungSpace(): void {
  setFlagsFromString('--semi-space-growth-factor=2');
}
