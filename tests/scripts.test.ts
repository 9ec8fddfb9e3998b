import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from './process.ts';
import { onEmulator } from './setup.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-scripts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the search for CUDA', () => {
  /** A folder with an nvcc that prints its version, with or without headers. */
  function toolkit(name: string, version: string, headers = true): string {
    const place = join(folder, name);
    mkdirSync(join(place, 'bin'), { recursive: true });
    mkdirSync(join(place, 'include/crt'), { recursive: true });
    writeFileSync(join(place, 'bin/nvcc'), `#!/bin/sh\necho "Cuda compilation tools, release 1, V${version}"\n`);
    chmodSync(join(place, 'bin/nvcc'), 0o755);
    if (headers)
      for (const file of ['cuda_runtime.h', 'cuda_fp16.h', 'crt/host_config.h'])
        writeFileSync(join(place, 'include', file), '');
    return place;
  }
  function search(env: Record<string, string>): { code: number; text: string } {
    const command = [process.execPath, join(root, 'scripts/cudaToolkit.ts'), '--system', join(folder, 'system')];
    // Nothing of this machine is found: it may have a toolkit, or a python3 that names one.
    const { exitCode, stdout, stderr } = Bun.spawnSync(command, { env: { PATH: folder, HOME: folder, ...env } });
    return { code: exitCode, text: stdout.toString() + stderr.toString() };
  }

  test('finds what CUDA_HOME names, and what the cache holds', () => {
    const place = toolkit('named', '12.4.131');
    const { code, text } = search({ CUDA_HOME: place });
    expect([code, text]).toEqual([0, `castor: nvcc 12.4.131 at ${place}/bin/nvcc, headers in ${place}/include\n`]);
  });
  test('prefers PATH', () => {
    const [first, second] = [toolkit('first', '13.0.88'), toolkit('second', '12.4.131')];
    expect(search({ PATH: `${first}/bin`, CUDA_HOME: second }).text).toContain(`${first}/bin/nvcc`);
  });
  test('prefers the usual place to wheels of Python', () => {
    const usual = toolkit('system/usr/local/cuda-13.0', '13.0.48');
    toolkit('venv/lib/python3.12/site-packages/nvidia/cu13', '13.0.88');
    const { code, text } = search({ VIRTUAL_ENV: join(folder, 'venv') });
    rmSync(join(folder, 'system'), { recursive: true });
    expect([code, text]).toEqual([0, expect.stringContaining(`${usual}/bin/nvcc`)]);
  });
  test('goes on where one is too old, has no headers or does not run, and finds wheels of Python', () => {
    const old = toolkit('old', '11.8.89');
    const wheel = toolkit('venv/lib/python3.12/site-packages/nvidia/cu13', '13.0.88');
    const { code, text } = search({ CUDA_HOME: old, VIRTUAL_ENV: join(folder, 'venv') });
    expect([code, text]).toEqual([0, expect.stringContaining(`${wheel}/bin/nvcc`)]);
  });
  test('says where it looked and what is wrong there', () => {
    const [old, bare] = [toolkit('old', '12.0.140'), toolkit('bare', '13.0.88', false)];
    const { code, text } = search({ CUDA_HOME: old, CUDA_PATH: bare });
    expect(code).toBe(1);
    expect(text).toContain(`CUDA_HOME (${old}): ${old}/bin/nvcc is version 12.0.140; 12.1 or newer is needed`);
    expect(text).toContain(`CUDA_PATH (${bare}): ${bare}/bin/nvcc has no headers (cuda_runtime.h,`);
    for (const place of ['PATH', '/usr/local/cuda', 'cache', 'nvidia/cu*']) expect(text).toContain(place);
    expect(text).toContain('cudaToolkit.ts --install');
  });
});

describe('gpu:check', () => {
  // Only its options are tested here. npm run gpu:rehearse runs the check itself.
  const check = (...args: string[]): { code: number; text: string } => {
    const child = Bun.spawnSync(['bash', join(root, 'scripts/gpuCheck.sh'), '--out', join(folder, 'check'), ...args], {
      env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
    });
    return { code: child.exitCode, text: child.stdout.toString() + child.stderr.toString() };
  };

  test('knows its parts', () => {
    expect(check('--only', 'everything')).toEqual({
      code: 1,
      text: expect.stringContaining("there is no part 'everything'; there are build, probe, conformance, kernels,"),
    });
  });
  test('wants a limit that is a number', () => {
    expect(check('--limit', 'long').text).toContain('--limit is a number of seconds');
  });
  test('describes its options', () => {
    expect(check('--help').text).toContain('--prebuilt  with the pack in .gpu that `npm run gpu:pack` has made');
  });
  test('begins nothing when the time is up, and says so in the report', () => {
    const { code, text } = check('--limit', '1');
    expect(code).toBe(1);
    expect(text).toMatch(/^build +incomplete/m);
    const report = JSON.parse(readFileSync(join(folder, 'check/report.json'), 'utf8')) as { parts: object };
    expect(report.parts).toEqual({ build: expect.objectContaining({ status: 'incomplete' }) });
  });
});

describe.if(onEmulator)('bench:gpu', () => {
  interface Figures {
    castor: Record<string, number>;
    pytorch: Record<string, number>;
    verdicts: { promise: string; kept: boolean | null }[];
    failures: string[];
  }
  test('leaves the figures it has when PyTorch hangs, and takes no product of its own for one of cuBLASLt', async () => {
    const python = join(folder, 'python');
    const answers = ['{"torch": "2", "parts": ["matmul", "launch"]}', '{"figures": {"matmul.bf16.tflops": 1}}'];
    const program = ['if [ "$1" = -c ]; then exit; fi', ...answers.map(line => `echo '${line}'`), 'exec sleep 1000'];
    writeFileSync(python, ['#!/bin/sh', ...program].join('\n'), { mode: 0o755 });
    const out = join(folder, 'figures.json');
    const args = ['--tiny', '--only', 'copy,matmul,launch,gpt.f32', '--limit', '6', '--out', out];
    const env = { ...process.env, CASTOR_PYTHON: python, CASTOR_CUBLAS: '', CASTOR_CUBLAS_LIBRARY: '' };
    const child = Bun.spawn([process.execPath, join(root, 'benchmarks/gpu.ts'), ...args], {
      env,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    expect(await child.exited).toBe(1);
    const { castor, pytorch, verdicts, failures } = JSON.parse(readFileSync(out, 'utf8')) as Figures;
    expect(Object.keys(castor).sort()).toEqual(['copy.gbps', 'launch.us', 'matmul.own.bf16.tflops']);
    expect(pytorch).toEqual({ 'matmul.bf16.tflops': 1 });
    const measured = verdicts.filter(({ kept }) => kept !== null).map(({ promise }) => promise.split(' ')[0]);
    expect(measured).toEqual(['matmul.own.bf16.tflops', 'launch.us']);
    expect(failures).toEqual([expect.stringMatching(/^launch: PyTorch/), 'gpt.f32: not begun, the time was up']);
  });
});
