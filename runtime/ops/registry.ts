import { policyOf } from '../amp/policy.ts';
import { derivatives } from '../autograd/derivatives.ts';
import { kinds, type Kind } from '../dispatch/kinds.ts';
import type { Op, Run } from '../dispatch/op.ts';
import { opNumber, opNumbers } from '../ffi/library.ts';
import { table, type KindOf, type OpName } from './table.ts';

function build<N extends OpName>(name: N): Op<KindOf<N>> {
  const row: { kind: Kind; result: Op['result']; bool?: Op['bool']; native?: string } = table[name];
  const numbered = opNumbers.has(row.kind) && row.kind !== 'pool';
  return {
    name,
    kind: row.kind as KindOf<N>,
    result: row.result,
    bool: row.bool ?? 'kept',
    code: numbered ? opNumber(row.kind, row.native ?? name) : -1,
    run: kinds[row.kind] as unknown as Run<KindOf<N>>,
    rule: derivatives[name],
    policy: policyOf(name),
  };
}

/** Every primitive op, ready to be called. @throws LibraryError at load when the native library lacks one */
export const ops = Object.fromEntries((Object.keys(table) as OpName[]).map(name => [name, build(name)])) as unknown as {
  readonly [N in OpName]: Op<KindOf<N>>;
};
