import { beyond } from './beyond.ts';
import type { Case } from './case.ts';
import { ops } from './ops.ts';
import { scaler } from './scaler.ts';
import { scopes } from './scopes.ts';

/** The cases of PyTorch's own tests of mixed precision, and the cases in which PyTorch is wrong. */
export const cases: readonly (Case & { readonly file: string })[] = Object.entries({
  ops,
  scopes,
  scaler,
  beyond,
}).flatMap(([name, list]) => list.map(own => ({ ...own, file: `tests/conformance/${name}.ts` })));
/** The name by which `bun test -t` finds a case. */
export const testName = ({ id, title }: Case): string => `${id}: ${title}`;
