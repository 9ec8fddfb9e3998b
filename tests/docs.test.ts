import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, type Finished } from './process.ts';

interface Block {
  readonly name: string;
  readonly code: string;
  /** The output that the page shows, if it shows one. */
  readonly printed: string[];
}
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map(name => `docs/${name}`)].filter(path =>
  path.endsWith('.md'),
);
const blocks = pages.flatMap(path =>
  [
    ...readFileSync(join(root, path), 'utf8').matchAll(
      /^```ts\n([\s\S]*?)^```\n(?:\n(?:printed|prints)\n\n((?: {4}.*\n)+))?/gm,
    ),
  ].map(([, code, printed = ''], i): Block => ({
    name: `${path.replace(/\W/g, '-')}-${i + 1}`,
    code: code!,
    printed: printed
      .split('\n')
      .map(line => line.trim())
      .filter(Boolean),
  })),
);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-docs-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/castor'));
  symlinkSync(join(root, 'node_modules/bun-types'), join(folder, 'node_modules/bun-types'));
  const { compilerOptions } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')) as {
    compilerOptions: object;
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...compilerOptions, paths: {} } }));
  for (const { name, code } of blocks) writeFileSync(join(folder, `${name}.ts`), code);
});
afterAll(() => rmSync(folder, { recursive: true }));

function succeeded({ exitCode, stdout, stderr }: Finished): string[] {
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout.trimEnd().split('\n');
}
/** A text without its numbers, and the numbers. A tensor that is not on the CPU prints its device, which the pages leave out. */
const parts = (lines: readonly string[]): { text: string; numbers: number[] } => {
  const number = /-?\d+(?:\.\d+)?/g;
  const all = lines.join('\n').replace(/, device='cuda:\d+'/g, '');
  return { text: all.replace(number, '#'), numbers: (all.match(number) ?? []).map(Number) };
};

describe('code in the pages', () => {
  test('is found', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(8);
    expect(blocks[0]!.printed.length).toBeGreaterThan(3);
  });
  /** Machines that only run Castor do not have the types of Bun. */
  test.skipIf(!existsSync(join(root, 'node_modules/bun-types')))('passes the type checker', async () => {
    const child = Bun.spawn([process.execPath, '--no-script', 'check'], {
      cwd: folder,
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [out, errors] = [await new Response(child.stdout).text(), await new Response(child.stderr).text()];
    expect([await child.exited, out + errors]).toEqual([0, expect.stringContaining('No type errors')]);
  });
  test.concurrent.each(blocks.map(block => [block.name, block] as const))('%s runs', async (name, { printed }) => {
    const lines = succeeded(await run(`${name}.ts`, [], folder));
    if (printed.length === 0) return;
    const [actual, expected] = [parts(lines), parts(printed)];
    expect(actual.text).toBe(expected.text);
    // Sums are in another order for each instruction set, and training amplifies the difference.
    actual.numbers.forEach((value, i) =>
      expect(Math.abs(value - expected.numbers[i]!)).toBeLessThan(0.02 + 0.05 * Math.abs(value)),
    );
  });
});

describe('examples', () => {
  const lossesOf = (lines: readonly string[]): number[] => lines.map(line => Number(/loss (\d+\.\d+)/.exec(line)?.[1]));
  const expectations: Record<string, (lines: string[]) => void> = {
    'autocast.ts': ([first, ...epochs]) => {
      expect(first).toMatch(/^prediction bfloat16, loss float32$/);
      expect(epochs).toHaveLength(10);
      const losses = lossesOf(epochs);
      expect(losses.toSorted((a, b) => b - a)).toEqual(losses);
    },
    'gradScaler.ts': ([first, ...epochs]) => {
      expect(first).toBe('prediction float16, loss float32');
      expect(epochs).toHaveLength(10);
      for (const line of epochs) expect(line).toMatch(/^epoch \d: loss \d+\.\d{4}, scale 65536$/);
      expect(lossesOf(epochs).at(-1)!).toBeLessThan(lossesOf(epochs)[0]!);
    },
    'underflow.ts': lines => {
      const [wide, scaled, unscaled] = lines.slice(-3).map(line => [...line.matchAll(/\d+\.\d{4}/g)].map(Number));
      expect(wide![1]!).toBeLessThan(0.85 * wide![0]!);
      expect(Math.abs(scaled![1]! - wide![1]!)).toBeLessThan(0.01 * wide![1]!);
      expect(unscaled![1]).toBe(unscaled![0]!);
      expect(lines[0]).toMatch(/\|C{60}$/);
    },
    'mlp.ts': lines => {
      expect(lines).toHaveLength(6);
      expect(lossesOf(lines)[4]!).toBeLessThan(0.1);
      expect(parseFloat(lines[5]!)).toBeGreaterThan(95);
    },
    'customFunction.ts': lines => {
      expect(lines.slice(0, 2).join(' ')).toContain('gradFn=<Log1pExpBackward>');
      expect(lines.at(-1)).toBe('gradcheck: true');
    },
    'chatServer.ts': lines => {
      expect(lines[0]).toBe('data: {"text":"b"}');
      expect(lines.join('\n')).toContain('builds dams of wood and mud, and lives in the quiet water be');
    },
    'mixedPrecision.ts': ([head, columns, ...lines]) => {
      expect(head).toContain('6 steps of 4x16 bytes');
      expect(columns!.trim().split(/ +/)).toEqual(['step', 'speed', 'memory', 'ratio', 'loss']);
      const rows = lines.map(line => line.split(/ {2,}/));
      expect(rows.map(([precision]) => precision)).toEqual(['float32', 'bfloat16', 'float16']);
      // The ratios of float32 are those to itself. In 16 bits the losses are nearly the same.
      expect(rows[0]!.slice(2, 5)).toEqual(['1.00x', expect.stringMatching(/^\d+kB$/), '1.00x']);
      for (const row of rows) expect(Math.abs(Number(row[5]) - Number(rows[0]![5]))).toBeLessThan(0.05);
    },
    'server.ts': lines => {
      const replies = lines.slice(0, 3).map(line => JSON.parse(line) as { dtype: string; percent: number[] });
      expect(replies.map(({ dtype }) => dtype)).toEqual(['float32', 'bfloat16', 'float16']);
      expect(new Set(replies.map(({ percent }) => JSON.stringify(percent))).size).toBe(1);
      expect(replies[0]!.percent.length).toBe(3);
    },
  };
  /** Sizes with which an example takes less time. */
  const small: Record<string, string[]> = {
    'mixedPrecision.ts': '--steps 6 --layers 1 --width 64 --context 16 --batch 4'.split(' '),
  };
  test('are all looked at', () => {
    expect(Object.keys(expectations).toSorted()).toEqual(readdirSync(join(root, 'examples')).toSorted());
  });
  test.concurrent.each(Object.entries(expectations))('%s', async (name, expectation) => {
    expectation(succeeded(await run(`examples/${name}`, small[name])));
  });
});
