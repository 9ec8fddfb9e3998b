/**
 * Tests that use the CPU from several threads at once, under ThreadSanitizer: `bun scripts/threads.ts`. A report of a race ends the
 * program. The last line is `N passed, N failed`.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { build, root, run, stop } from './native.ts';

const builder = Bun.spawn([process.execPath, 'scripts/build.ts'], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
if ((await builder.exited) !== 0) stop('nothing was tested');
const lines: string[] = [];
const jobs = String(availableParallelism());
if (!(await run(['cmake', '--build', build, '-j', jobs, '--target', 'castor_thread_tests'], line => lines.push(line))))
  stop(`the compiler failed\n${lines.join('\n')}`);

const child = Bun.spawn([join(build, 'castor_thread_tests')], {
  env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1' },
  stdio: ['ignore', 'inherit', 'inherit'],
  timeout: 10 * 60_000,
});
const code = await child.exited;
// A program that ends by a report has printed no counts.
if (code > 1 || child.signalCode) console.log('0 passed, 1 failed');
process.exit(code === 0 ? 0 : 1);
