/**
 * Builds what is missing, type-checks, and runs the tests: `bun scripts/test.ts [part of a file name ...]`. Each test file has a
 * process of its own, so that a crash of native code is one failure and hides no other. The last line is `N passed, N failed`.
 */
import { join } from 'node:path';

const root = join(import.meta.dir, '..');
const wanted = process.argv.slice(2);
const colour = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};

interface Count {
  passed: number;
  failed: number;
}

/** Runs this Bun with some arguments, shows what it prints as it comes, and returns it. */
async function run(...args: string[]): Promise<{ text: string; code: number }> {
  const child = Bun.spawn(['sh', '-c', 'exec "$@" 2>&1', 'sh', process.execPath, ...args], {
    cwd: root,
    env: { ...process.env, ...colour },
    stdout: 'pipe',
  });
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of child.stdout) {
    process.stdout.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return { text: Bun.stripANSI(text), code: await child.exited };
}

/** A step that passes or fails as a whole, and counts only when it fails. */
async function step(...args: string[]): Promise<boolean> {
  return (await run(...args)).code === 0;
}

/** The numbers of the runner's summary; a process that ended without one crashed. */
async function testFile(file: string): Promise<Count> {
  const { text, code } = await run('test', `./${file}`);
  const last = (word: string): number =>
    Number([...text.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, 'gm'))].at(-1)?.[1] ?? 0);
  const [passed, failed] = [last('pass'), last('fail')];
  if (code === 0 || failed > 0) return { passed, failed };
  console.log(`${file}: the runner ended with code ${code}`);
  return { passed, failed: 1 };
}

function finish({ passed, failed }: Count): never {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

if (!(await step('scripts/build.ts'))) finish({ passed: 0, failed: 1 });
const total: Count = { passed: 0, failed: (await step('--no-script', 'check')) ? 0 : 1 };

const files = [...new Bun.Glob('tests/**/*.test.ts').scanSync(root)].sort();
const chosen = wanted.length === 0 ? files : files.filter(file => wanted.some(part => file.includes(part)));
if (chosen.length === 0) console.log(`no test file has '${wanted.join("' or '")}' in its name`);
for (const file of chosen) {
  const { passed, failed } = await testFile(file);
  total.passed += passed;
  total.failed += failed;
}
finish(chosen.length === 0 ? { passed: 0, failed: 1 } : total);
