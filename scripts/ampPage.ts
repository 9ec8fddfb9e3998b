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
  fp32: 'computed and returned in float32; 16-bit inputs are read as they are, no copy is made',
  promote: 'cast to the widest of the inputs; two different 16-bit dtypes meet in float32',
  banned: 'refused: the gradient does not fit 16 bits. The error says what to call instead',
  input: 'left alone: native promotion',
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

One table for both devices: PyTorch's CUDA lists. Only floating inputs count, and never float64. A scope may override it:
\`autocast({ overrides: { softmax: 'input' } }, fn)\`. \`autocast.policy()\` returns it as data. An op that is given another policy does
with its operands, cast as that policy says, what it does outside autocast; what it is made of is not cast again. Ops that move or
convert elements, and those that answer in bool or integers, have no other policy. A number divided by a tensor follows the policy
of \`reciprocal\`, as in PyTorch.

| policy | what happens to the inputs | ops |
|---|---|---|
${policyRows().join('\n')}

## What PyTorch's tests hold, case by case

The numbers are those of the specification the suite was written from. E1 to E16 are places where PyTorch is known to be wrong; there
Castor does what the line says. Each line is the name of a test in \`tests/conformance/amp.test.ts\`
(\`bun test tests/conformance -t '57: '\`), next to it stands the file with its code. Pending are ops that Castor does not have: the
suite fails when one appears.

| test | code | |
|---|---|---|
${caseRows().join('\n')}
`;

if (import.meta.main) await Bun.write(PAGE, page());
