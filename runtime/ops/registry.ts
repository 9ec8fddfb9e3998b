import { setPolicy, type AutocastOp } from '../amp/policy.ts';
import type { DifferentiableOp } from '../autograd/derivative.ts';
import { kinds } from '../dispatch/kinds.ts';
import type { Kind } from '../dispatch/op.ts';
import { opNumber } from '../ffi/library.ts';
import { functionTable, table, type OpName, type ParamsOfOp } from './table.ts';

/** An op that can be called: a row of the table with its kind, its number and its derivative. */
export interface Op<P = any> extends AutocastOp<P>, DifferentiableOp<P> {}

type Row = (typeof table)[OpName];
function build(name: OpName, row: Row): Op {
  const { native = name, bool = 'kept', wraps = false, insteadOfBool } = row;
  const kind: Kind = kinds[row.kind];
  return {
    name,
    kind,
    result: row.result,
    bool,
    insteadOfBool,
    wraps,
    code: kind.numbers === undefined ? -1 : opNumber(kind.numbers, native),
    policy: row.policy ?? 'input',
    direct: row.method,
    // ops/derivatives/ attaches the derivatives.
    derivative: 'none',
    viewAgain: null,
  };
}

function enterPolicy(name: string, { policy, instead }: Row): void {
  if (policy === null) return;
  const { result, kind } = ops[name as OpName];
  const gives = kind.moves ? 'moves' : ['bool', 'int64', 'integral'].includes(result) ? 'answers' : null;
  setPolicy(name, { policy, gives, instead });
}

/** Every primitive op by its name. @throws LibraryError at load if the native library lacks one */
export const ops = Object.fromEntries(
  Object.entries<Row>(table).map(([name, row]) => [name, build(name as OpName, row)]),
) as unknown as { readonly [N in OpName]: Op<ParamsOfOp<N>> };

for (const [name, row] of Object.entries<Row>(table)) enterPolicy(name, row);
for (const [name, { policy, gives = null }] of Object.entries(functionTable)) setPolicy(name, { policy, gives });
