/** Longest chunk that is accepted, in bytes. */
export const longestChunk = 1024 * 1024;
/** Longest message that is accepted, in bytes: a chunk, and what is around it. */
export const longestMessage = longestChunk + 2 ** 16;
/** Leaves that one call of ProveBackup may ask for. */
export const mostLeavesAsked = 1000;
/** Manifests that one call of ListBackups may ask for. */
export const mostManifestsAsked = 1000;
