/**
 * Writes docs/gpu-model.md, the roofline of a training step of GPT-2 on several GPUs: `npm run gpu:model`. A test
 * compares the page with a new trace.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pageOf, type Steps } from './gpuModel/page.ts';
import type { Step } from './gpuModel/trace.ts';
import { build, root, run, say, stop } from './native.ts';

export const PAGE = join(root, 'docs/gpu-model.md');

/** The variables that change which kernels are launched are not passed on. */
const without = {
  CASTOR_CUBLAS: '0',
  CASTOR_MATMUL_TILE: '',
  CASTOR_CUDA_THREADS: '',
  CASTOR_EMULATOR_ARCHITECTURE: '90',
};

async function traced(library: string, dtype: string, folder: string): Promise<Step> {
  const file = join(folder, dtype);
  writeFileSync(file, '');
  const child = Bun.spawn([process.execPath, join(import.meta.dirname, 'gpuModel/trace.ts'), dtype, file], {
    cwd: root,
    env: {
      ...process.env,
      ...without,
      CASTOR_LIBRARY: library,
      CASTOR_EMULATOR_TRACE: file,
      CASTOR_EMULATOR_MEMORY: String(1e12),
      CASTOR_EMULATOR_STREAMS: 'eager',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [text, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(errors);
  return JSON.parse(text) as Step;
}

/** The page, from a trace with a library whose device is the emulator. */
export async function modelPage(library: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'castor-model-'));
  try {
    const steps: Steps = {
      bfloat16: await traced(library, 'bfloat16', folder),
      float32: await traced(library, 'float32', folder),
    };
    return pageOf(steps);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const builder = [process.execPath, join(import.meta.dirname, 'build.ts'), '--emulated'];
  if (!(await run(builder, console.log))) stop('the page is not written');
  await Bun.write(PAGE, await modelPage(join(build, 'castor_emulated/libcastor.so')));
  say(`wrote ${PAGE}`);
}
