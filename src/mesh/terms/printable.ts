/**
 * Control characters, and the ones that reorder or hide text on a screen: C0, DEL and C1, line and paragraph separators,
 * the bidirectional controls, zero-width characters and the byte order mark.
 */
const unsafe = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Text from elsewhere (a peer, an archive, a program) made safe to show and to log: one line, at most `longest` characters. */
export function printable(text: string, longest = 2000): string {
  const shown = text.length > longest ? `${text.slice(0, longest)}…` : text;
  return shown.replace(unsafe, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}
