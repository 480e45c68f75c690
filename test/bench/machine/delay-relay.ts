import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

// A long link in user space, for kernels without `tc netem`: it carries the UDP packets of a VXLAN tunnel from one side
// to the other, later, and loses some. Arguments: near address, far address, own addresses on both sides, milliseconds of
// one way, share of the packets that is lost.

const [near = '', far = '', ownNear = '', ownFar = '', delay = '0', loss = '0'] = process.argv.slice(2);
const port = 4789;
const most = 4 * 2 ** 20;

interface Packet {
  readonly due: number;
  readonly bytes: Buffer;
}

async function open(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(port, address);
  await once(socket, 'listening');
  socket.setRecvBufferSize(most);
  socket.setSendBufferSize(most);
  socket.on('error', () => {});
  return socket;
}

function carry(from: Socket, to: Socket, target: string): void {
  const late = Number(delay);
  const lost = Number(loss);
  let queue: Packet[] = [];
  let head = 0;
  const forward = (): void => {
    const now = performance.now();
    for (let next = queue[head]; next !== undefined && next.due <= now; next = queue[head]) {
      to.send(next.bytes, port, target);
      head += 1;
    }
    if (head > 4096) {
      queue = queue.slice(head);
      head = 0;
    }
    if (head < queue.length) setTimeout(forward, 1);
    else idle = true;
  };
  let idle = true;
  from.on('message', (bytes) => {
    if (lost > 0 && Math.random() < lost) return;
    queue.push({ due: performance.now() + late, bytes });
    if (!idle) return;
    idle = false;
    setTimeout(forward, 1);
  });
}

const [a, b] = await Promise.all([open(ownNear), open(ownFar)]);
carry(a, b, far);
carry(b, a, near);
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
