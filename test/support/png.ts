import { inflateSync } from 'node:zlib';

/** Pixels in rows, four bytes each: red, green, blue, opacity. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Reads a PNG of 8 bits a channel, with or without opacity and not interlaced, as browsers make them (RFC 2083). */
export function readPng(png: Buffer): Picture {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const channels = png[25] === 6 ? 4 : 3;
  if (png[24] !== 8 || (png[25] !== 2 && png[25] !== 6) || png[28] !== 0) throw new Error('not such a PNG');
  const compressed: Buffer[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      compressed.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  const rows = unfilter(inflateSync(Buffer.concat(compressed)), width * channels, channels);
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    for (let channel = 0; channel < channels; channel += 1) {
      data[pixel * 4 + channel] = rows[pixel * channels + channel] ?? 0;
    }
  }
  return { width, height, data };
}

/** The part between two columns. */
export function columnsOf({ width, height, data }: Picture, from: number, to: number): Picture {
  const cut = new Uint8Array((to - from) * height * 4);
  for (let row = 0; row < height; row += 1) {
    cut.set(data.subarray((row * width + from) * 4, (row * width + to) * 4), row * (to - from) * 4);
  }
  return { width: to - from, height, data: cut };
}

function unfilter(filtered: Buffer, length: number, channels: number): Uint8Array {
  const height = filtered.length / (length + 1);
  const rows = new Uint8Array(height * length);
  const at = (row: number, byte: number): number => (row < 0 || byte < 0 ? 0 : (rows[row * length + byte] ?? 0));
  for (let row = 0; row < height; row += 1) {
    const filter = filtered[row * (length + 1)];
    for (let byte = 0; byte < length; byte += 1) {
      const raw = filtered[row * (length + 1) + 1 + byte] ?? 0;
      const [left, up, corner] = [at(row, byte - channels), at(row - 1, byte), at(row - 1, byte - channels)];
      const known = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter ?? 0] ?? 0;
      rows[row * length + byte] = raw + known;
    }
  }
  return rows;
}

function paeth(left: number, up: number, corner: number): number {
  const estimate = left + up - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
