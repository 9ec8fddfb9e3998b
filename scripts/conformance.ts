/**
 * Compares the results of the wrappers in `cuda/gpu.h` with `tests/kernels/conformance/answers.txt`, which the emulator
 * wrote: `bun scripts/conformance.ts [PROGRAM]`. The program is castor_conformance_cuda on a machine with a GPU, and by
 * default castor_conformance_emulated. `--write` stores the results of the emulator in the file.
 *
 * A line `name = hash words` must be equal. In a line `name ~ bound values` each value may differ by the bound,
 * relative to its size or, below 1, absolutely.
 */
import { join } from 'node:path';
import { build, root } from './native.ts';

const file = join(root, 'tests/kernels/conformance/answers.txt');

const byName = (text: string): Map<string, string> =>
  new Map(
    text
      .split('\n')
      .filter(Boolean)
      .map(line => [/^[^=~]*/.exec(line)![0].trim(), line]),
  );

/** The expected value and the bound, if a value exceeds it, else null. */
function miss(expected: string, actual: string): string | null {
  const numbers = (line: string): string[] => line.split('~')[1]!.trim().split(' ');
  const [[bound, ...wanted], [, ...got]] = [numbers(expected), numbers(actual)];
  if (wanted.length !== got.length) return `${got.length} values, not ${wanted.length}`;
  const i = wanted.findIndex((text, k) => {
    const [x, y] = [Number(text), Number(got[k])];
    return text !== got[k] && !(Math.abs(x - y) <= Number(bound) * Math.max(1, Math.abs(x)));
  });
  return i < 0 ? null : `value ${i} is ${got[i]}, not ${wanted[i]} within ${bound}`;
}

/** One line for each wrapper with different results. */
export function differences(expected: string, actual: string): string[] {
  const answers = byName(actual);
  return [...byName(expected)].flatMap(([name, line]) => {
    const answer = answers.get(name);
    if (answer === undefined) return [`${name}: no answer`];
    const wrong = line.includes('~') ? miss(line, answer) : line === answer ? null : `${answer}, not ${line}`;
    return wrong ? [`${name}: ${wrong}`] : [];
  });
}

/** The number of wrappers with the expected results, and the differences of the others. */
export async function compare(output: string): Promise<{ passed: number; wrong: string[] }> {
  const expected = await Bun.file(file).text();
  const wrong = differences(expected, output);
  return { passed: byName(expected).size - wrong.length, wrong };
}

if (import.meta.main) {
  const write = process.argv.includes('--write');
  const program =
    process.argv.slice(2).find(word => word !== '--write') ?? join(build, 'kernel_tests/castor_conformance_emulated');
  const { stdout, exitCode } = Bun.spawnSync([program], { stderr: 'inherit' });
  if (exitCode !== 0) process.exit(1);
  if (write) await Bun.write(file, stdout);
  const { passed, wrong } = await compare(stdout.toString());
  for (const line of wrong) console.log(`FAILED ${line}`);
  console.log(`${passed} passed, ${wrong.length} failed`);
  process.exit(wrong.length === 0 ? 0 : 1);
}
