/** The lines around the part of a kit that programs read. */
export const kitBegin = '-----BEGIN ANEMONE KIT-----';
export const kitEnd = '-----END ANEMONE KIT-----';
/** The version of that part which this program writes and reads. */
export const kitVersion = 1;
