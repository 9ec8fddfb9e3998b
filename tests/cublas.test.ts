import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from './process.ts';
import { onEmulator } from './setup.ts';

// Whether cuBLASLt is used, and the settings that it receives. On the emulator, plain loops replace it.
const compiler = ['c++', 'g++', 'clang++'].find(name => Bun.which(name));
let folder: string;
let fake: string;

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'castor-cublas-')));
  fake = join(folder, 'cublasLt.so');
  if (!onEmulator || !compiler) return;
  const sources = ['tests/kernels/fake/cublas.cpp', 'tests/kernels/tensor.cpp'].map(file => join(root, file));
  const { exitCode, stderr } = Bun.spawnSync([
    compiler,
    '-std=c++17',
    '-O1',
    '-shared',
    '-fPIC',
    '-o',
    fake,
    ...sources,
  ]);
  if (exitCode !== 0) throw new Error(stderr.toString());
});
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * Runs lines of a program in which Castor's names are in scope. Returns its output and the number of algorithms that
 * were chosen.
 */
async function withSettings(
  settings: Record<string, string>,
  lines: string,
): Promise<{ lines: string[]; chosen: number }> {
  const program = join(folder, 'program.ts');
  const body = `import { autocast, deviceInfo, F, manualSeed, ones, randn } from ${JSON.stringify(join(root, 'runtime/index.ts'))};
    manualSeed(3);
    const print = (x: unknown) => console.log(String(x));
    ${lines}`;
  writeFileSync(program, body);
  const child = Bun.spawn([process.execPath, program], {
    env: {
      ...process.env,
      CASTOR_EMULATOR_STREAMS: 'eager',
      CASTOR_CUBLAS: '',
      CASTOR_CUBLAS_LIBRARY: '',
      ...settings,
    },
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const chosen = errors.split('\n').filter(line => line.includes('an algorithm is chosen')).length;
  if ((await child.exited) !== 0) throw new Error(errors);
  return { lines: out.trim().split('\n'), chosen };
}

const product = `
  const a = ones([16, 24]), b = ones([24, 32]);
  print(a.matmul(b).sum().itemSync());`;

/** The same library in another place. */
function put(...place: string[]): string {
  const file = join(folder, ...place);
  mkdirSync(dirname(file), { recursive: true });
  copyFileSync(fake, file);
  return file;
}
/** The file that was opened, with these settings and without a home folder. */
async function opened(settings: Record<string, string>): Promise<string | undefined> {
  const program = `import { readFileSync } from 'node:fs';
    ${product} print(readFileSync('/proc/self/maps', 'utf8').split('\\n').find(line => line.includes('cublasLt')));`;
  const places = { HOME: join(folder, 'home'), VIRTUAL_ENV: '', CONDA_PREFIX: '', CUDA_HOME: '', CUDA_PATH: '' };
  const { lines } = await withSettings({ ...places, ...settings }, program);
  return /\S*$/.exec(lines[1]!)?.[0];
}

describe.if(onEmulator && compiler !== undefined)('cuBLASLt', () => {
  test('is looked for in CUDA_HOME, then among the packages of the python3 on PATH; a file that is named comes first', async () => {
    const wheel = 'lib/python3.12/site-packages/nvidia/cu13/lib/libcublasLt.so.13';
    const besidePython = put('python', wheel);
    const behindLink = put('linked', 'lib/python3/dist-packages/nvidia/cublas/lib/libcublasLt.so.12');
    const inHome = put('cuda', 'lib64/libcublasLt.so.13');
    const ofPyenv = put('home/.pyenv/versions/3.12.1', wheel);
    for (const name of ['python', 'linked', 'links']) mkdirSync(join(folder, name, 'bin'), { recursive: true });
    for (const name of ['python', 'linked']) writeFileSync(join(folder, name, 'bin/python3'), '', { mode: 0o755 });
    symlinkSync(join(folder, 'linked/bin/python3'), join(folder, 'links/bin/python3'));
    const path = (name: string): string => `${join(folder, name, 'bin')}:/usr/bin:/bin`;
    const CUDA_HOME = join(folder, 'cuda');

    expect(await opened({ PATH: path('python') })).toBe(besidePython);
    expect(await opened({ PATH: path('links') })).toBe(behindLink);
    expect(await opened({ PATH: '/usr/bin:/bin' })).toBe(ofPyenv);
    expect(await opened({ PATH: path('python'), CUDA_HOME })).toBe(inHome);
    expect(await opened({ PATH: path('python'), CUDA_HOME, CASTOR_CUBLAS_LIBRARY: fake })).toBe(fake);
  });
  test('is used where it is found, and that is reported', async () => {
    const program = `print(deviceInfo('cuda').matmul); ${product} print(deviceInfo('cuda').matmul);`;
    const { lines, chosen } = await withSettings({ CASTOR_CUBLAS_LIBRARY: fake }, program);
    expect(lines).toEqual(['chosen by the first product', String(16 * 24 * 32), 'cublasLt 13.1']);
    expect(chosen).toBe(1);
  });
  test('is not used with CASTOR_CUBLAS=0', async () => {
    const settings = { CASTOR_CUBLAS: '0', CASTOR_CUBLAS_LIBRARY: fake };
    const { lines, chosen } = await withSettings(settings, `${product} print(deviceInfo('cuda').matmul);`);
    expect(lines).toEqual([String(16 * 24 * 32), 'castor']);
    expect(chosen).toBe(0);
  });
  test('is missed with CASTOR_CUBLAS=1: the error says where it was looked for', async () => {
    const settings = { CASTOR_CUBLAS: '1', CASTOR_CUBLAS_LIBRARY: join(folder, 'missing.so') };
    const program = `try { ${product} } catch (error) { print((error as Error).name); print((error as Error).message); }`;
    const { lines } = await withSettings(settings, program);
    expect(lines[0]).toBe('DeviceError');
    expect(lines[1]).toContain(settings.CASTOR_CUBLAS_LIBRARY);
  });
  test('chooses an algorithm once for products that are alike', async () => {
    const program = `
      const w = randn([32, 24], { dtype: 'float16' }), bias = randn([32], { dtype: 'float16' });
      for (let i = 0; i < 3; i++) F.linear(randn([16, 24], { dtype: 'float16' }), w, bias);
      F.linear(randn([17, 24], { dtype: 'float16' }), w, bias);
      F.linear(randn([16, 24], { dtype: 'float16' }), w);
      print('done');`;
    expect((await withSettings({ CASTOR_CUBLAS_LIBRARY: fake }, program)).chosen).toBe(3);
  });
  test('is told how the bias is aligned', async () => {
    const program = `
      const x = randn([16, 24], { dtype: 'float16' }), w = randn([32, 24], { dtype: 'float16' });
      for (const first of [0, 1, 8]) F.linear(x, w, randn([64], { dtype: 'float16' }).narrow(0, first, 32));
      print('done');`;
    // 512, 2 and 16 bytes.
    expect((await withSettings({ CASTOR_CUBLAS_LIBRARY: fake }, program)).chosen).toBe(3);
  });
  test('is replaced where it does not support what it has chosen, and that is asked once', async () => {
    const settings = { CASTOR_CUBLAS_LIBRARY: fake, CASTOR_FAKE_CUBLAS_STATUS: '15' };
    const { lines, chosen } = await withSettings(settings, `${product} print(a.matmul(b).sum().itemSync());`);
    expect([lines, chosen]).toEqual([[String(16 * 24 * 32), String(16 * 24 * 32)], 1]);
  });
  test('reports any other failure', async () => {
    const settings = { CASTOR_CUBLAS_LIBRARY: fake, CASTOR_FAKE_CUBLAS_STATUS: '13' };
    const program = `try { ${product} } catch (error) { print((error as Error).message); }`;
    expect((await withSettings(settings, program)).lines[0]).toContain('cublasLtMatmul failed with status 13');
  });

  /** The results of a program by Castor's own kernels and by the library, which computes all that it can. */
  async function both(
    lines: string,
  ): Promise<{ own: number[]; theirs: number[]; chosen: number; chosenIfWorth: number }> {
    const results = (from: readonly string[]): number[] => from.map(Number);
    const program = `const dtype = 'float16' as const;
      ${lines}`;
    const own = await withSettings({ CASTOR_CUBLAS: '0' }, program);
    const theirs = await withSettings({ CASTOR_CUBLAS: '1', CASTOR_CUBLAS_LIBRARY: fake }, program);
    const { chosen } = await withSettings({ CASTOR_CUBLAS_LIBRARY: fake }, program);
    return { own: results(own.lines), theirs: results(theirs.lines), chosen: theirs.chosen, chosenIfWorth: chosen };
  }
  const convolution = `
    const x = randn([3, 16, 8, 9], { dtype, requiresGrad: true }), w = randn([24, 16, 1, 1], { dtype, requiresGrad: true });
    const bias = randn([24], { dtype });`;
  test('computes pointwise convolutions with a bias, if they are large enough for a copy of it', async () => {
    const { own, theirs, chosen, chosenIfWorth } = await both(`${convolution}
      print(F.conv2d(x, w, bias).to('float64').square().sum().itemSync());`);
    expect(Math.abs(theirs[0]! / own[0]! - 1)).toBeLessThan(1e-3);
    expect([chosen, chosenIfWorth]).toEqual([1, 0]);
  });
  test('computes the gradients of pointwise convolutions: that of the weight image by image', async () => {
    const { own, theirs, chosen } = await both(`${convolution}
      F.conv2d(x, w).to('float32').square().sum().backward();
      for (const g of [x.grad!, w.grad!]) print(g.to('float64').square().sum().itemSync());`);
    for (const i of [0, 1]) expect(Math.abs(theirs[i]! / own[i]! - 1)).toBeLessThan(1e-3);
    expect(chosen).toBe(3);
  });
  const wide = `
    const x = randn([3, 16, 9, 7], { dtype, requiresGrad: true }), w = randn([24, 16, 3, 3], { dtype, requiresGrad: true });
    const bias = randn([24], { dtype });
    const y = F.conv2d(x, w, bias, { padding: 1 });
    y.to('float32').square().sum().backward();
    for (const each of [y, x.grad!, w.grad!]) print(each.to('float64').square().sum().itemSync());`;
  test('computes convolutions of 16 bits from patches in memory, and their gradients', async () => {
    const { own, theirs, chosen, chosenIfWorth } = await both(wide);
    for (const i of [0, 1, 2]) expect(Math.abs(theirs[i]! / own[i]! - 1)).toBeLessThan(1e-3);
    expect([chosen, chosenIfWorth]).toEqual([3, 0]);
  });
  test('computes the float32 gradient of a weight that autocast made short', async () => {
    const { own, theirs, chosen } = await both(`
      const w = randn([24, 16, 3, 3], { requiresGrad: true });
      autocast({ dtype }, () => F.conv2d(randn([3, 16, 9, 7], { dtype }), w)).to('float32').square().sum().backward();
      print(w.grad!.square().sum().itemSync()); print(w.grad!.dtype === 'float32' ? 1 : 0);`);
    expect(Math.abs(theirs[0]! / own[0]! - 1)).toBeLessThan(1e-3);
    expect([theirs[1], chosen]).toEqual([1, 2]);
  });
  test('computes those of 64 or more channels that are large', async () => {
    const program = `print(F.conv2d(ones([4, 64, 16, 16], { dtype: 'bfloat16' }), ones([64, 64, 3, 3], { dtype: 'bfloat16' })).at(0, 0, 3, 3).itemSync());`;
    const { lines, chosen } = await withSettings({ CASTOR_CUBLAS_LIBRARY: fake }, program);
    expect([lines, chosen]).toEqual([['576'], 1]);
  });
  test('computes a batch with two axes, with a call for each index of the shorter one', async () => {
    const { own, theirs, chosen, chosenIfWorth } = await both(`
      const a = randn([3, 2, 20, 24], { dtype }), b = randn([2, 24, 16], { dtype });
      print(a.matmul(b).to('float64').square().sum().itemSync());`);
    expect(Math.abs(theirs[0]! / own[0]! - 1)).toBeLessThan(1e-3);
    expect([chosen, chosenIfWorth]).toEqual([1, 0]);
  });
});
