import { printable } from '../../../mesh/terms/clean-text.js';
import { foldersAbove } from './folders-above.js';
import { type Member, refused } from './member.js';

/** What an archive has brought so far, so that no member can change what another one means. */
export interface Register {
  /** @throws Failure `invalid` for a second member of one path, a member below something that is no folder, a bad link */
  add(member: Member): void;
  /** Folders that members lie in and that the archive did not list itself. */
  implied(): readonly string[];
}

type Known = 'file' | 'symlink' | 'folder' | 'implied folder';

export function openRegister(): Register {
  const known = new Map<string, Known>();

  function checkAbove(member: Member): void {
    for (const folder of foldersAbove(member.path)) {
      const kind = known.get(folder);
      if (kind === 'file' || kind === 'symlink') throw refused(member.path, `it lies below a ${kind}`);
      if (kind !== undefined) return;
    }
  }

  function implyAbove(member: Member): void {
    for (const folder of foldersAbove(member.path)) {
      if (known.has(folder)) return;
      known.set(folder, 'implied folder');
    }
  }

  return {
    add(member) {
      checkAbove(member);
      const kind = known.get(member.path);
      if (kind !== undefined && !(kind === 'implied folder' && member.kind === 'folder')) {
        throw refused(
          member.path,
          kind === 'implied folder' ? 'other members lie below it' : 'there are two of that name',
        );
      }
      if (member.kind === 'hard-link' && known.get(member.target) !== 'file') {
        throw refused(
          member.path,
          `it is a hard link to "${printable(member.target)}", which is no file that came before it`,
        );
      }
      implyAbove(member);
      known.set(member.path, member.kind === 'hard-link' ? 'file' : member.kind);
    },
    implied: () => [...known].filter(([, kind]) => kind === 'implied folder').map(([path]) => path),
  };
}
