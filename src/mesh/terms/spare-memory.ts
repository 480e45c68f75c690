import { setFlagsFromString } from 'node:v8';

/*
 * Imported first by both programs. V8 lets the space of young objects grow to 32 MB under load and keeps it. Here the
 * load lies outside of it, in the chunks of a transfer; kept small, it is also swept more often, and lets go of them.
 */
setFlagsFromString('--semi-space-growth-factor=1');
