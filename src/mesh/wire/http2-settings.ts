import type { Http2Session, Settings } from 'node:http2';

/** HTTP/2 flow-control window of a connection, and the largest of a stream, in bytes: what a link of 1 Gbit/s and 50 ms needs. */
export const flowControlWindow = 8 * 2 ** 20;
/**
 * The window of a stream to whoever is near. All of it waits here when it comes faster than it is taken; what waits for very long
 * is garbage that V8 takes for old, and lets go of late.
 */
const nearWindow = 4 * 2 ** 20;
/** Milliseconds of a round trip from which on the other side is far: a nearer one may send 160 MiB a second. */
const far = 25;

/** What both sides tell each other: large windows, and large frames, of which others make use; Node sends 16 KiB in each. */
export const http2Settings: Settings = { initialWindowSize: nearWindow, maxFrameSize: 2 ** 20 };

/** Opens the windows for what comes over a connection that has just begun: as wide as the way to its other side is long. */
export function openWindows(session: Http2Session): void {
  session.setLocalWindowSize(flowControlWindow);
  session.ping((failure, roundTrip) => {
    if (failure !== null || roundTrip < far || session.destroyed) return;
    session.settings({ initialWindowSize: flowControlWindow });
  });
}
