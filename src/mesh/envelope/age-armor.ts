import type { Bytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { armorBegin, armorEnd } from './age-magic.js';

const columns = 64;
/** The longest line that is waited for; a longer one is damage. White space around the armor has no limit. */
const longestLine = 1024;

/** What may come next: the first line, a line of base64, only the last line, or only white space. */
type Place = 'before' | 'inside' | 'short' | 'after';

/**
 * The binary age file inside ASCII armor (https://c2sp.org/age, a strict PEM): lines of 64 columns, the last one shorter,
 * canonical base64, line ends of either kind, white space allowed only before and after.
 * @throws Failure `damaged`
 */
export async function* dearmor(source: Bytes): AsyncGenerator<Uint8Array, void> {
  let place: Place = 'before';
  let carry = '';
  for await (const chunk of source) {
    const lines = (carry + Buffer.from(chunk).toString('latin1')).split('\n');
    carry = lines.pop() ?? '';
    const decoded: Uint8Array[] = [];
    for (const line of lines) place = takeLine(line.replace(/\r$/, ''), place, decoded);
    if (carry.length > longestLine) {
      if (carry.trim() !== '') throw damaged('a line is too long');
      carry = ' ';
    }
    if (decoded.length > 0) yield Buffer.concat(decoded);
  }
  const decoded: Uint8Array[] = [];
  if (takeLine(carry, place, decoded) !== 'after') throw damaged('its last line is missing');
}

function takeLine(line: string, place: Place, decoded: Uint8Array[]): Place {
  if (place === 'before') {
    if (line.trim() === '') return 'before';
    if (line.trimStart() !== armorBegin) throw damaged('its first line is not right');
    return 'inside';
  }
  if (place === 'after') {
    if (line.trim() !== '') throw damaged('something follows its last line');
    return 'after';
  }
  if (line.trimEnd() === armorEnd) return 'after';
  const bytes = Buffer.from(line, 'base64');
  if (place === 'short' || line.length === 0 || line.length > columns || bytes.toString('base64') !== line) {
    throw damaged('a line is not base64, or not of the right length');
  }
  decoded.push(bytes);
  return line.length === columns ? 'inside' : 'short';
}

function damaged(detail: string): Failure {
  return new Failure('damaged', `the armor of the age file is damaged: ${detail}`);
}
