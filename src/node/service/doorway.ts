import type { Socket } from 'node:net';

/** Handshakes of one address that may be under way at a time; each costs a file handle for as long as it may take. */
const mostOfOneAddress = 64;

/**
 * Knows who stands in the door: has connected, and has not proven yet who it is. Where too many of one address do, the one
 * that has stood there longest goes: an honest caller is through in a moment, also one that comes from the same address as
 * a crowd of strangers.
 */
export interface Doorway {
  /** @returns the one that has to go for it */
  enter(socket: Socket): Socket | undefined;
  /** It has proven who it is, or was refused. */
  leave(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): void;
  /** Sends everybody away: nobody is let in any more. */
  clear(): void;
}

export function openDoorway(): Doorway {
  /** By address, and then by port, in the order in which they came. */
  const waiting = new Map<string, Map<number, Socket>>();
  const leave = (address: string, port: number): void => {
    const crowd = waiting.get(address);
    crowd?.delete(port);
    if (crowd?.size === 0) waiting.delete(address);
  };
  return {
    enter(socket) {
      const { remoteAddress: address = '', remotePort: port = 0 } = socket;
      const crowd = waiting.get(address) ?? new Map<number, Socket>();
      waiting.set(address, crowd.set(port, socket));
      socket.once('close', () => leave(address, port));
      return crowd.size > mostOfOneAddress ? crowd.values().next().value : undefined;
    },
    leave: ({ remoteAddress = '', remotePort = 0 }) => leave(remoteAddress, remotePort),
    clear() {
      for (const socket of [...waiting.values()].flatMap((crowd) => [...crowd.values()])) socket.destroy();
    },
  };
}
