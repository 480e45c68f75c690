import type { Socket } from 'node:net';

/** Handshakes of one address that may be under way at a time; each costs a file handle for as long as it may take. */
const mostOfOneAddress = 64;

/**
 * The callers that have connected, and have not proven yet who they are. Where one address has too many of them, the one that
 * has taken longest goes: an honest caller is through in a moment, also one that comes from the same address as a crowd of
 * strangers.
 */
export interface Handshakes {
  /** @returns the one that has to go for it */
  begin(socket: Socket): Socket | undefined;
  /** It has proven who it is, or was refused. */
  end(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): void;
  /** Lets nobody in any more. */
  breakOff(): void;
}

export function openHandshakes(): Handshakes {
  /** By address, and then by port, in the order in which they came. */
  const waiting = new Map<string, Map<number, Socket>>();
  const end = (address: string, port: number): void => {
    const crowd = waiting.get(address);
    crowd?.delete(port);
    if (crowd?.size === 0) waiting.delete(address);
  };
  return {
    begin(socket) {
      const { remoteAddress: address = '', remotePort: port = 0 } = socket;
      const crowd = waiting.get(address) ?? new Map<number, Socket>();
      waiting.set(address, crowd.set(port, socket));
      socket.once('close', () => end(address, port));
      return crowd.size > mostOfOneAddress ? crowd.values().next().value : undefined;
    },
    end: ({ remoteAddress = '', remotePort = 0 }) => end(remoteAddress, remotePort),
    breakOff() {
      for (const socket of [...waiting.values()].flatMap((crowd) => [...crowd.values()])) socket.destroy();
    },
  };
}
