import { beyond } from './beyond.ts';
import type { Case } from './case.ts';
import { ops } from './ops.ts';
import { scaler } from './scaler.ts';
import { scopes } from './scopes.ts';

/** The cases of PyTorch's own tests of mixed precision, and the places where it is to be done better. */
export const cases: readonly (Case & { readonly file: string })[] = Object.entries({
  ops,
  scopes,
  scaler,
  beyond,
}).flatMap(([name, list]) => list.map(own => ({ ...own, file: `tests/conformance/${name}.ts` })));
/** What `bun test -t` finds a case by. */
export const testName = ({ id, title }: Case): string => `${id}: ${title}`;
