/** Tar archives written block by block, so that they can say what no honest program would write. */
export interface RawMember {
  readonly name?: string | Buffer;
  readonly type?: string;
  readonly body?: string | Buffer;
  /** What the header says, when that is not the length of the body. */
  readonly size?: number;
  readonly linkname?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly mtime?: number;
  readonly magic?: string;
  /** Written over the header just before its checksum is made. */
  readonly patch?: (header: Buffer) => void;
  /** Written over the header after that. */
  readonly spoil?: (header: Buffer) => void;
  /** Records of a pax header that goes before. */
  readonly pax?: Readonly<Record<string, string>>;
}

export const endOfArchive = Buffer.alloc(1024);

export function rawMember(member: RawMember): Buffer {
  const body = Buffer.from(member.body ?? '');
  const header = Buffer.alloc(512);
  const octal = (value: number, offset: number, length: number): void => {
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset);
  };
  Buffer.from(member.name ?? 'file').copy(header, 0, 0, 100);
  octal(member.mode ?? 0o644, 100, 8);
  octal(member.uid ?? 0, 108, 8);
  octal(0, 116, 8);
  octal(member.size ?? body.length, 124, 12);
  octal(member.mtime ?? 1_700_000_000, 136, 12);
  header.write(member.type ?? '0', 156);
  header.write(member.linkname ?? '', 157);
  header.write(member.magic ?? 'ustar\x0000', 257);
  member.patch?.(header);
  header.fill(' ', 148, 156);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    8,
  );
  member.spoil?.(header);
  const padding = Buffer.alloc((512 - (body.length % 512)) % 512);
  const before = member.pax === undefined ? [] : [rawMember({ name: 'pax', type: 'x', body: paxRecords(member.pax) })];
  return Buffer.concat([...before, header, body, padding]);
}

export function rawTar(...members: readonly RawMember[]): Buffer {
  return Buffer.concat([...members.map(rawMember), endOfArchive]);
}

function paxRecords(records: Readonly<Record<string, string>>): string {
  return Object.entries(records)
    .map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`);
      let length = rest;
      while (length !== rest + String(length).length) length = rest + String(length).length;
      return `${length} ${key}=${value}\n`;
    })
    .join('');
}

/** Bytes in pieces, which fit no block of an archive unless told to. */
export async function* stream(bytes: Buffer, step = 700): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}
