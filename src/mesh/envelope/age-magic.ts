const versionPrefix = 'age-encryption.org/';

export const armorBegin = '-----BEGIN AGE ENCRYPTED FILE-----';
export const armorEnd = '-----END AGE ENCRYPTED FILE-----';

/** Whether a file that begins with `head` is an age file of any version, in binary. */
export function isBinaryAge(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(0, versionPrefix.length)).toString('latin1') === versionPrefix;
}

/** Whether a file that begins with `head` is an age file in ASCII armor, perhaps after white space. */
export function isArmoredAge(head: Uint8Array): boolean {
  return Buffer.from(head).toString('latin1').trimStart().startsWith(armorBegin);
}
