/**
 * Adds an op to a copy of the project as the README's table of one op says, and shows that it then works forward and backward; and that,
 * with any of its lines left out, a machine complains that names the file and the command: `bun scripts/addOp.ts`. The last line is
 * `N passed, N failed`. What needs no native build of its own is also in tests/addOp.test.ts.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { findTools, root, say } from './native.ts';

/** One line of the op: it is written above the line of expm1, which is the example of the README's table. */
export interface Line {
  readonly file: string;
  /** The text above which the line is inserted. */
  readonly above: string;
  readonly line: string;
}

/** The Gudermannian function, atan(sinh(x)), with the derivative 1 / cosh(x). PyTorch does not have it. */
export const lines = {
  kernel: {
    file: 'kernels/unary.inc',
    above: 'UNARY(expm1,',
    line: 'UNARY(gudermannian, real, m::atan(m::sinh(x)))',
  },
  row: {
    file: 'runtime/ops/table.ts',
    above: '  /** e^x - 1, accurate near 0. */',
    line: "  /** The Gudermannian function: atan(sinh(x)). */\n  gudermannian: unary('float', 'fp32'),",
  },
  derivative: {
    file: 'runtime/ops/derivatives/elementwise.ts',
    above: '  expm1: [wide(',
    line: "  gudermannian: [wide(['a'], (g, s) => g.div(s.a.cosh()))],",
  },
  case: {
    file: 'tests/ops/cases/unary.ts',
    above: '  expm1: row(',
    line: '  gudermannian: row(x => Math.atan(Math.sinh(x)), any),',
  },
  golden: {
    file: 'tests/ops/notInPyTorch.ts',
    above: '};\n\n/** The treatment of ops',
    line: "  gudermannian: 'it shows how an op is added',",
  },
} as const satisfies Readonly<Record<string, Line>>;
export type LineName = keyof typeof lines;

interface Outcome {
  readonly code: number;
  readonly text: string;
}

/** A copy of the project with its library, in which files may be changed. */
export class Copy {
  readonly folder = mkdtempSync(join(tmpdir(), 'castor-add-op-'));
  constructor() {
    const skipped = new Set(['node_modules', 'build', '.git', 'runs', '.gpu']);
    cpSync(root, this.folder, { recursive: true, filter: path => !skipped.has(basename(path)) });
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
    mkdirSync(join(this.folder, 'build'));
  }

  /** Writes all lines but those that are left out. */
  write(...leftOut: LineName[]): void {
    for (const [name, { file, above, line }] of Object.entries<Line>(lines)) {
      const original = readFileSync(join(root, file), 'utf8');
      if (original.split(above).length !== 2) throw new Error(`${file} must have '${above}' once`);
      const text = leftOut.includes(name as LineName) ? original : original.replace(above, `${line}\n${above}`);
      writeFileSync(join(this.folder, file), text);
    }
  }

  async run(...command: readonly string[]): Promise<Outcome> {
    const { CASTOR_LIBRARY: _, ...env } = process.env;
    const child = Bun.spawn(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...command], {
      cwd: this.folder,
      env,
      stdin: 'ignore',
      stdout: 'pipe',
    });
    const text = await new Response(child.stdout).text();
    return { code: await child.exited, text: Bun.stripANSI(text) };
  }
  bun(...args: readonly string[]): Promise<Outcome> {
    return this.run(process.execPath, ...args);
  }

  /** Compiles quickly, without optimisation and for one instruction set. */
  async build(): Promise<Outcome> {
    const { compiler, generator } = findTools();
    const quick = ['-DCMAKE_BUILD_TYPE=Quick', '-DCMAKE_CXX_FLAGS_QUICK=-O0', '-DCASTOR_NARROWEST_ISAS=1'];
    const configured = await this.run('cmake', '-S.', '-Bbuild', '-G', generator, `-DCMAKE_CXX_COMPILER=${compiler}`, ...quick); // prettier-ignore
    if (configured.code !== 0) return configured;
    return this.run('cmake', '--build', 'build', '--target', 'castor', '-j', String(availableParallelism()));
  }
  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** Is the op there, with the right value and the right gradient? 0.5 has the Gudermannian 0.4804 and the slope 0.8868. */
const program = `
import { tensor } from 'castor';
const x = tensor([0.5], { requiresGrad: true });
const y = x.gudermannian();
y.backward();
console.log(y.itemSync().toFixed(4), x.grad.itemSync().toFixed(4), y.gradFn);
`;

let passed = 0;
let failed = 0;
/** Each part must stand in what was printed. */
function judge(what: string, { code, text }: Outcome, succeeds: boolean, ...parts: readonly string[]): void {
  const missing = parts.filter(part => !text.includes(part));
  const ok = (code === 0) === succeeds && missing.length === 0;
  if (ok) passed++;
  else failed++;
  say(`${ok ? 'passed' : 'FAILED'}: ${what}`);
  if (!ok)
    console.log(`${text}\nended with code ${code}; what must be in it and is not: ${missing.join(', ') || 'nothing'}`);
}

const checkTypes = ['--no-script', 'check'];
const declarationTest = ['test', './tests/declarations.test.ts', '-t', 'are those that the script makes'];
const pageTest = ['test', './tests/conformance/amp.test.ts', '-t', 'stands on its page'];
/** The tests that ask for lines of an op. That of derivatives counts what its other tests have gone through, and so runs whole. */
const rowTests = ['addOp', 'autocastGolden', 'ops/integersGolden'].map(name => `./tests/${name}.test.ts`);
const demand = 'every elementwise row|every elementwise op of the native library|every op with a policy';

async function works(copy: Copy): Promise<void> {
  copy.write();
  judge('the copy compiles', await copy.build(), true);
  writeFileSync(join(copy.folder, 'program.ts'), program);
  judge(
    'the op has its value and its gradient',
    await copy.bun('program.ts'),
    true,
    '0.4804 0.8868 GudermannianBackward',
  );
  rmSync(join(copy.folder, 'program.ts'));
  judge(
    'the declaration is asked for',
    await copy.bun(...declarationTest),
    false,
    'runtime/ops/declarations.ts',
    'npm run declare',
  );
  judge('the declarations are written again', await copy.run('npm', 'run', '-s', 'declare'), true);
  judge('and are then right', await copy.bun(...declarationTest), true);
  judge('types are right', await copy.bun(...checkTypes), true);
  judge(
    'the page of autocast is asked for',
    await copy.bun(...pageTest),
    false,
    'docs/autocast.md',
    'npm run docs:autocast',
  );
  judge('the page is written again', await copy.run('npm', 'run', '-s', 'docs:autocast'), true);
  judge('and is then right', await copy.bun(...pageTest), true);
  const files = ['forward', 'gradient', 'inplace', 'derivativeReads'].map(name => `./tests/ops/${name}.test.ts`);
  judge(
    'the tests of ops pass for it',
    await copy.bun('test', ...files, '-t', 'gudermannian|are kept|every'),
    true,
    ' 0 fail',
  );
}

async function complains(copy: Copy): Promise<void> {
  copy.write('golden');
  const asked = (name: string, operand: string): string[] => [
    `tests/golden/${name}.jsonl has no record of gudermannian${operand}. Add a line to `,
    `in tests/golden/${name}.py and run 'npm run golden -- ${name}'`,
    'tests/ops/notInPyTorch.ts',
  ];
  const values = await copy.bun('test', ...rowTests, '-t', demand);
  judge('values of PyTorch are asked for', values, false, ...asked('integers', ''), ...asked('autocast', ''));
  const gradients = await copy.bun('test', './tests/ops/derivatives.test.ts');
  judge('and its gradients', gradients, false, ...asked('derivatives', ' 0'));
  copy.write('row', 'derivative', 'case', 'golden');
  const rows = await copy.bun('test', './tests/addOp.test.ts', '-t', demand);
  judge('the row of the table is asked for', rows, false, 'runtime/ops/table.ts', 'npm run check');
}

if (import.meta.main) {
  const copy = new Copy();
  try {
    await works(copy);
    await complains(copy);
  } finally {
    copy.remove();
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}
