/** How many names a sentence or a cell spells out. */
export const mostNamed = 4;

/** Names in a sentence: all of up to four; of more the first three, and how many others there are. */
export function fewNames(names: readonly string[]): string {
  if (names.length <= mostNamed) return names.join(', ');
  const named = names.slice(0, mostNamed - 1);
  return `${named.join(', ')} and ${names.length - named.length} others`;
}
