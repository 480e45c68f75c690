import { posix } from 'node:path';
import { Failure } from './failure.js';

/** One configured path, and what it is called in the archive. */
export interface Root {
  /** As written in the configuration, for messages. */
  readonly written: string;
  readonly absolute: string;
  /** The member name without leading or trailing slash; empty when only the children get entries. */
  readonly name: string;
}

/**
 * What configured paths are called in the archive: a relative one keeps its relative name, an absolute one loses its
 * leading slash, one that leaves `base` counts as absolute. Paths inside another configured path are dropped, and the
 * rest is ordered by the bytes of the names, so that the order of the configuration does not matter.
 * @throws Failure `config` when two different paths would have the same name
 */
export function archiveRoots(paths: readonly string[], base: string): readonly Root[] {
  const roots = paths.map((written): Root => {
    const absolute = posix.resolve(base, written);
    const relative = posix.isAbsolute(written) ? '..' : posix.relative(base, absolute);
    const leaves = relative === '..' || relative.startsWith('../');
    return { written, absolute, name: leaves ? absolute.slice(1) : relative };
  });
  roots.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  const kept: Root[] = [];
  for (const root of roots) {
    const above = kept.findLast((other) => isWithin(root.name, other.name));
    if (above === undefined) kept.push(root);
    else if (posix.join(above.absolute, posix.relative(above.name, root.name)) !== root.absolute) {
      if (above.name !== '' || root.name === '') throw sameName(root.name, above.written, root.written);
      kept.push(root);
    }
  }
  return kept;
}

/**
 * Guards against a child of `.` that has the name of another root, or of a folder above it: what else can collide is
 * found by {@link archiveRoots}.
 * @returns a check that throws Failure `config`
 */
export function collisionCheck(roots: readonly Root[]): (name: string, root: Root) => void {
  const claims = new Map<string, Root>();
  for (const root of roots) {
    for (let name = root.name; name !== '' && name !== '.'; name = posix.dirname(name)) {
      if (!claims.has(name)) claims.set(name, root);
    }
  }
  return (name, root) => {
    const claim = claims.get(name);
    if (claim !== undefined && root.name === '') throw sameName(name, root.written, claim.written);
  };
}

export function isWithin(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

function sameName(name: string, first: string, second: string): Failure {
  return new Failure('config', `${first} and ${second} would both be ${JSON.stringify(name)} in the archive`, {
    hint: 'Put one of the two into a set of its own.',
  });
}
