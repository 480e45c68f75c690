/** Names in a sentence: all of up to four, and of more the first three. */
export function fewNames(names: readonly string[]): string {
  if (names.length <= 4) return names.join(', ');
  return `${names.slice(0, 3).join(', ')} and ${names.length - 3} others`;
}
