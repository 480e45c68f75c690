import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { readSmallFile } from '../files/read-small-file.js';
import { archiveRoots } from '../terms/archive-roots.js';
import { Failure } from '../terms/failure.js';
import { shellWord } from '../terms/shell-word.js';
import type { Config } from './config.js';
import { decodeConfig, largestConfig, readDocument, rootProblem } from './document.js';
import { withoutConfig } from './find.js';
import { configFailure, keyText, type LineOf, type Problem } from './problem.js';
import { remarks } from './remarks.js';
import { resolveConfig } from './resolve.js';
import { configSchema } from './schema.js';
import { translateSpellings } from './spellings.js';
import { explain } from './values.js';

export interface LoadedConfig {
  readonly config: Config;
  /** What is right but old, unused or surprising; one sentence each, with file and line. */
  readonly hints: string[];
}

/**
 * Reads and checks a configuration file.
 * @throws Failure `config` that lists everything that is wrong, one line each: file, line, key, what is wrong, the fix
 */
export async function loadConfig(file: string): Promise<LoadedConfig> {
  return parseConfig(file, decodeConfig(file, await readConfigBytes(file)), existsSync);
}

/**
 * {@link loadConfig} for text that is (or will be) in `file`.
 * @param isThere whether there is a folder, such as that of a server whose backups are held
 */
export function parseConfig(file: string, text: string, isThere = (_folder: string): boolean => false): LoadedConfig {
  const document = readDocument(text);
  const problems = [...document.problems];
  if (document.value === undefined && problems.length > 0) throw configFailure(file, problems);
  const { value, hints: spellings, placeOf } = translateSpellings(document.value);
  const lineOf: LineOf = (path) => document.lineOf(placeOf(path));
  const root = rootProblem(value);
  if (root !== undefined) throw configFailure(file, [...problems, root]);
  const parsed = v.safeParse(configSchema, value);
  problems.push(...(parsed.issues ?? []).map((issue) => issueProblem(issue, lineOf)));
  if (!parsed.success || problems.length > 0) throw configFailure(file, problems);

  const config = resolveConfig(file, parsed.output);
  problems.push(...pathProblems(config, lineOf));
  if (problems.length > 0) throw configFailure(file, problems);
  const old = spellings.map(({ at, message }) => ({ line: document.lineOf(at), message }));
  const hints = [...old.toSorted((a, b) => a.line - b.line), ...remarks(config, lineOf, isThere)];
  return { config, hints: hints.map(({ line, message }) => `${file}:${line}: ${message}`) };
}

/** Linux: `sun_path` has 108 bytes with the zero at its end. */
const longestSocketPath = 107;

/** What is found only when it is known where every path leads. */
function pathProblems({ server, base, backup }: Config, lineOf: LineOf): Problem[] {
  const problems: Problem[] = [];
  const at = (path: string[], message: string): void =>
    void problems.push({ line: lineOf(path), key: keyText(path), message });
  const socketBytes = Buffer.byteLength(server.socket);
  if (socketBytes > longestSocketPath) {
    const message = `the path ${server.socket} has ${socketBytes} bytes; a socket has ${longestSocketPath} at most. Set server.socket to a shorter one, such as /run/anemone/node.sock`;
    at(['server', 'socket'], message);
  }
  for (const { name, source } of backup.sets) {
    try {
      if (source.kind === 'paths') archiveRoots(source.paths, base);
    } catch (thrown) {
      at(['backup', 'sets', name, 'paths'], explain(Failure.from(thrown)));
    }
  }
  return problems;
}

/** The bytes of a regular file; a pipe that nobody writes to is not waited for. */
export async function readConfigBytes(file: string): Promise<Buffer> {
  try {
    return await readSmallFile(file, { most: largestConfig, follow: true });
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    const [why, hint] = whyUnreadable(file)[code] ?? [`cannot be read (${code || message})`];
    throw new Failure('config', `${file} ${why}`, { cause, hint });
  }
}

/** What is the matter with a file, and what to do, by the code of the error. */
const whyUnreadable = (file: string): Readonly<Record<string, readonly [string, string?]>> => ({
  ENOENT: ['does not exist', withoutConfig],
  EACCES: [
    'may not be read',
    `Run this as the user of the node, or as root. Where this is the user of the node, as root: chown ${process.geteuid?.()} ${shellWord(file)}`,
  ],
  NOT_A_FILE: ['is not a file', 'Name the file itself.'],
  TOO_LARGE: [`has more than ${largestConfig} bytes: it is not a configuration`],
});

/** What to write where something that must be there is not. */
const whatIsMissing: Readonly<Record<string, string>> = {
  server: 'begin with `server:` and below it `name:`',
  name: 'write the name of the server, such as FR1',
  vpn_ip: "write the peer's address in the VPN, such as 10.8.0.2",
};

function issueProblem(issue: v.BaseIssue<unknown>, lineOf: LineOf): Problem {
  const path = (issue.path ?? []).map(({ key }) => key as string | number);
  return { line: lineOf(path), key: keyText(path), message: issueMessage(issue, String(path.at(-1))) };
}

function issueMessage(issue: v.BaseIssue<unknown>, key: string): string {
  if (issue.type === 'loose_object') return `is missing: ${whatIsMissing[key] ?? 'add it'}`;
  if (issue.type === 'array') return 'is not a list. Write [one, two], or one item a line after "- "';
  if (issue.type === 'record') return 'is not a mapping of the names of sets to what is in them';
  return issue.message;
}
