import type { Settings } from 'node:http2';

/** HTTP/2 flow-control window of a stream and of a connection, in bytes: what a link of 1 Gbit/s and 50 ms needs. */
export const flowControlWindow = 8 * 2 ** 20;

/** What both sides tell each other: large windows, and frames that need not be cut into pieces of 16 KiB. */
export const http2Settings: Settings = { initialWindowSize: flowControlWindow, maxFrameSize: 2 ** 20 };
