/** The few shapes of DER (ITU-T X.690) that a certificate of this mesh is made of. */

export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOctets(content.length), content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
export const set = (...parts: readonly Uint8Array[]): Buffer => der(0x31, ...parts);
export const octets = (content: Uint8Array): Buffer => der(0x04, content);
export const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text));
export const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
export const bits = (content: Uint8Array, unused = 0): Buffer => der(0x03, Buffer.from([unused]), content);
export const explicit = (number: number, content: Uint8Array): Buffer => der(0xa0 + number, content);
export const yes = der(0x01, Buffer.from([0xff]));

/** A positive integer. */
export function integer(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return der(0x02, (bytes[0] ?? 0) > 127 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

/** GeneralizedTime, `YYYYMMDDHHMMSSZ`. */
export const generalizedTime = (text: string): Buffer => der(0x18, Buffer.from(text));
/** UTCTime, `YYMMDDHHMMSSZ`: RFC 5280 asks for it up to the year 2049. */
export const utcTime = (text: string): Buffer => der(0x17, Buffer.from(text));

function lengthOctets(length: number): Buffer {
  if (length < 128) return Buffer.from([length]);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([0x80 + bytes.length]), bytes]);
}
