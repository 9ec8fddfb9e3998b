/**
 * Writes docs/autocast.md from the policy table and the conformance suite: `npm run docs:autocast`. A test compares
 * the page with them.
 */
import { resolve } from 'node:path';
import { autocast } from '../runtime/index.ts';
import { POLICY_VERSION, policyNames } from '../runtime/amp/policy.ts';
import { cases, testName } from '../tests/conformance/cases.ts';

export const PAGE = resolve(import.meta.dir, '../docs/autocast.md');

const meaning = {
  low: 'cast to the low dtype (float16 or bfloat16)',
  fp32: 'computed and returned in float32; 16-bit inputs are read directly, without a float32 copy',
  promote: 'cast to the widest dtype of the inputs; two different 16-bit dtypes are both cast to float32',
  banned: 'refused, because the gradient may not be representable in 16 bits. The error names the op to use instead',
  input: 'not cast: the usual type promotion applies',
} as const;

function policyRows(): string[] {
  const table = Object.entries(autocast.policy());
  return policyNames.map(policy => {
    const names = table.filter(([, own]) => own === policy).map(([name]) => `\`${name}\``);
    return `| ${policy} | ${meaning[policy]} | ${names.join(' ')} |`;
  });
}

const caseRows = (): string[] =>
  cases.map(({ file, reason, pending = [], ...named }) => {
    const status = reason ? `not run: ${reason}` : 'held';
    const waits = pending.length > 0 ? `; pending: ${pending.join(', ')}` : '';
    return `| ${testName(named)} | ${reason ? '' : `\`${file}\``} | ${status}${waits} |`;
  });

/** The whole page. */
export const page = (): string => `# Autocast: policies and conformance

Made by \`npm run docs:autocast\`; do not edit by hand.

## The policy table, version ${POLICY_VERSION}

There is one table for both devices, with PyTorch's CUDA lists. It applies to floating-point inputs other than float64. A scope may override it:
\`autocast({ overrides: { softmax: 'input' } }, fn)\`. \`autocast.policy()\` returns it as data. With another policy,
an op casts its operands as this policy says, and then computes as outside autocast; the ops that it is composed of do not cast again. The
policy of ops that move or convert elements, and of those with bool or integer results, cannot be changed. A number divided by a tensor follows the policy
of \`reciprocal\`, as in PyTorch.

| policy | what happens to the inputs | ops |
|---|---|---|
${policyRows().join('\n')}

## The cases of PyTorch's tests

The numbers are those of the specification from which the suite was written. E1 to E16 are cases in which PyTorch is known to be wrong, with
the behaviour of Castor. Each line is the name of a test in \`tests/conformance/amp.test.ts\` (\`bun test tests/conformance -t '57: '\`) and the
file with its code. Pending are ops that Castor does not have yet: the suite fails when one of them is added.

| test | code | |
|---|---|---|
${caseRows().join('\n')}
`;

if (import.meta.main) await Bun.write(PAGE, page());
