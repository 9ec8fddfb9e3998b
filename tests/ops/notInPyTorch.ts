import type { OpName } from '../../runtime/ops/table.ts';

/**
 * Elementwise ops that PyTorch does not have, each with a reason to have it. Their values and gradients are held to the references of
 * tests/ops/cases/ alone; those of all others also to PyTorch's, which are stored in tests/golden/.
 */
export const notInPyTorch: Readonly<Partial<Record<OpName, string>>> = {};

/** The treatment of ops, or operands of ops, for which a file of tests/golden/ has no record. */
export const withoutGolden = (ops: readonly string[], file: string, list: string): string =>
  `tests/golden/${file}.jsonl has no record of ${ops.join(', ')}. Add a line to ${list} in tests/golden/${file}.py and run ` +
  `'npm run golden -- ${file}', which needs a python3 with PyTorch; for an op that PyTorch lacks, add a line to tests/ops/notInPyTorch.ts`;
