import { fewNames, mostNamed } from '../../mesh/terms/few-names.js';
import type { Copy, Survey } from './found.js';

/** Who holds a backup, in few words, for a table: of many who were asked, those who do not show or prove that they hold it. */
export function heldBy(copies: readonly Copy[], { answers }: Pick<Survey, 'answers'>): string {
  const holding = copies.map(nameOf);
  if (holding.length <= mostNamed) return holding.join(', ');
  const lacking = answers.flatMap(({ holder }) => {
    const copy = copies.find((each) => each.holder === holder);
    if (copy === undefined) return [holder.name];
    return copy.doubt === null ? [] : [nameOf(copy)];
  });
  if (lacking.length > mostNamed) return fewNames(holding);
  return lacking.length === 0 ? `all ${answers.length}` : `all but ${lacking.join(', ')}`;
}

function nameOf({ holder, doubt }: Copy): string {
  return doubt === null ? holder.name : `${holder.name} (unproven)`;
}
