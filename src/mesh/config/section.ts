import * as v from 'valibot';
import { didYouMean, quote } from './values.js';

/** The keys of one part, as far as they could be read. */
type Keys = Readonly<Record<string, unknown>>;
/** Says what is wrong at a place below the part that is being checked. */
export type Report = (where: readonly (string | number)[], message: string) => void;

/** A part of the configuration with these keys and no others; `check` says what is wrong between keys. */
export function section<E extends v.ObjectEntries>(entries: E, check: (keys: Keys, report: Report) => void = () => {}) {
  const object = v.looseObject(entries);
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, v.InferInput<typeof object>>(({ dataset, addIssue, NEVER }) => {
      if (isMapping(dataset.value)) return dataset.value as v.InferInput<typeof object>;
      addIssue({ message: `is ${quote(dataset.value)}; it is a mapping of ${listed(Object.keys(entries))}` });
      return NEVER;
    }),
    object,
    v.rawCheck(({ dataset, addIssue }) => {
      const keys: unknown = dataset.value;
      if (!isMapping(keys)) return;
      const report = reporter(keys, addIssue);
      for (const key of Object.keys(keys).filter((name) => !Object.hasOwn(entries, name))) {
        const names = Object.keys(entries);
        const known = didYouMean(key, names) ?? `The keys here are ${listed(names)}.`;
        report([key], `is not a key of the configuration. ${known}`);
      }
      check(keys, report);
    }),
  );
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

export function reporter(
  root: unknown,
  addIssue: (issue: { message: string; path?: [v.IssuePathItem] }) => void,
): Report {
  return (where, message) => {
    const items = where.map(
      (key) => ({ type: 'unknown', origin: 'value', input: root, key, value: undefined }) as const,
    );
    const [first, ...rest] = items;
    addIssue(first === undefined ? { message } : { message, path: [first, ...rest] as unknown as [v.IssuePathItem] });
  };
}
