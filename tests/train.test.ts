import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getDefaultDevice } from 'castor';
import { finished, run, start, type Finished } from './process.ts';

let folder: string;
let text: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-train-'));
  text = join(folder, 'text');
  mkdirSync(text);
  for (let page = 0; page < 40; page++)
    writeFileSync(
      join(text, `page${page}.md`),
      `# Page ${page}\n${'The quick brown fox jumps over the lazy dog. '.repeat(20)}\n`,
    );
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Row {
  step: number;
  loss: number | null;
  heldOutLoss: number | null;
}
const small = '--layers 1 --width 16 --heads 2 --context 16 --batch 4 --sample 12'.split(' ');
const optionsFor = (...more: string[]): string[] => ['--data', text, ...small, ...more];
const train = (...more: string[]): Promise<Finished> => run('train.ts', optionsFor(...more));
const rowsOf = (out: string): Row[] =>
  readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Row);
/** The parts of the output that must be the same in each run: everything but the speed and the memory. */
const losses = (out: string): unknown[] => rowsOf(out).map(({ step, loss, heldOutLoss }) => [step, loss, heldOutLoss]);
const place = (name: string): string => join(folder, name);
/** The steps at which the loss is read: each on a CPU; every tenth and the last on devices where reading waits. */
const stepsRead = (last: number): number[] =>
  Array.from({ length: last + 1 }, (_, i) => i).filter(i => getDefaultDevice() === 'cpu' || i % 10 === 0 || i === last);

describe('train.ts', () => {
  test('--help names every option and its default', async () => {
    const { exitCode, stdout, stderr } = await run('train.ts', ['--help']);
    expect([exitCode, stderr]).toEqual([0, '']);
    const names = 'data device dtype steps seed out resume layers width heads context batch lr sample'.split(' ');
    for (const name of names) expect(stdout).toContain(`--${name}`);
    expect(stdout).toContain('float16|bfloat16|float32');
    expect(stdout).toContain('(default 300)');
  });

  test('writes checkpoint, metrics, curve and sample, and learns', async () => {
    const out = place('whole');
    const { exitCode, stdout, stderr } = await train('--steps', '60', '--lr', '0.01', '--out', out);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(readdirSync(out).toSorted()).toEqual(['checkpoint.safetensors', 'loss.svg', 'metrics.jsonl', 'sample.txt']);
    const rows = rowsOf(out);
    expect(rows.map(({ step }) => step)).toEqual(stepsRead(60));
    for (const row of rows)
      expect(Object.keys(row)).toEqual([
        'step',
        'loss',
        'heldOutLoss',
        'tokensPerSecond',
        'lossScale',
        'skippedSteps',
        'peakBytes',
      ]);
    expect(rows[0]!.heldOutLoss!).toBeCloseTo(Math.log(256), 0);
    expect(rows.at(-1)!.heldOutLoss!).toBeLessThan(rows[0]!.heldOutLoss! - 1);
    expect(rows.slice(1).every(({ loss }) => Number.isFinite(loss))).toBe(true);
    expect(readFileSync(join(out, 'sample.txt')).length).toBeGreaterThanOrEqual(12);
    expect(readFileSync(join(out, 'loss.svg'), 'utf8')).toMatch(/^<svg[\s\S]*<\/svg>\s*$/);
    // When the output is not a terminal, lines are plain: nothing moves the cursor.
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toMatch(/float16, .* parameters/);
    expect(stdout).toMatch(/held-out loss \d\.\d+/);
  });

  test.concurrent('gives the same losses for the same seed, and others for another', async () => {
    const runs = [
      ['a', '7'],
      ['b', '7'],
      ['c', '8'],
    ] as const;
    for (const [name, seed] of runs)
      expect((await train('--steps', '5', '--seed', seed, '--out', place(name))).exitCode).toBe(0);
    expect(losses(place('b'))).toEqual(losses(place('a')));
    expect(losses(place('c'))).not.toEqual(losses(place('a')));
    expect(readFileSync(join(place('b'), 'checkpoint.safetensors'))).toEqual(
      readFileSync(join(place('a'), 'checkpoint.safetensors')),
    );
    expect(readFileSync(join(place('b'), 'sample.txt'))).toEqual(readFileSync(join(place('a'), 'sample.txt')));
  });

  for (const dtype of ['float32', 'bfloat16'])
    test.concurrent(`runs in ${dtype}`, async () => {
      const out = place(dtype);
      const { exitCode, stdout } = await train('--steps', '4', '--dtype', dtype, '--out', out);
      expect(exitCode).toBe(0);
      expect(stdout).toContain(dtype);
      expect(rowsOf(out)).toHaveLength(stepsRead(4).length);
      expect(readFileSync(join(out, 'metrics.jsonl'), 'utf8')).toContain('"lossScale":1,');
    });

  test('saves on Ctrl+C, ends cleanly, and resumes bit for bit', async () => {
    const [whole, parts] = [place('uninterrupted'), place('interrupted')];
    const steps = ['--steps', '80', '--seed', '3'];
    expect((await train(...steps, '--out', whole)).exitCode).toBe(0);

    const child = start('train.ts', optionsFor(...steps, '--out', parts));
    while (!existsSync(join(parts, 'metrics.jsonl')) || rowsOf(parts).length < 5) await Bun.sleep(2);
    child.kill('SIGINT');
    const stopped = await finished(child);
    expect([stopped.exitCode, stopped.stderr]).toEqual([0, '']);
    expect(stopped.stdout).toMatch(/Stopped.*--resume/);
    const done = rowsOf(parts).length;
    expect(done).toBeLessThan(80);
    expect(readdirSync(parts)).toContain('checkpoint.safetensors');

    const resumed = await train(...steps, '--out', parts, '--resume');
    expect([resumed.exitCode, resumed.stderr]).toEqual([0, '']);
    expect(losses(parts)).toEqual(losses(whole));
    expect(readFileSync(join(parts, 'checkpoint.safetensors'))).toEqual(
      readFileSync(join(whole, 'checkpoint.safetensors')),
    );
    expect(readFileSync(join(parts, 'sample.txt'))).toEqual(readFileSync(join(whole, 'sample.txt')));
  });

  const wrong: [string, string[], RegExp][] = [
    ['an unknown option', ['--stepz', '3'], /no option --stepz.*--steps/],
    ['a value that is no number', ['--steps', 'many'], /--steps wants a whole number/],
    ['a missing value', ['--steps'], /--steps wants .* nothing/],
    ['an unknown dtype', ['--dtype', 'int8'], /--dtype wants one of float16, bfloat16, float32/],
    ['a device that is not there', ['--device', 'cuda:9'], /'cuda:9' is not available/],
    ['a device nobody knows', ['--device', 'tpu'], /no device 'tpu'/],
    ['a text that is not there', ['--data', '/nowhere/at/all'], /no file or folder \/nowhere\/at\/all/],
    ['--resume without --out', ['--resume'], /--resume needs --out/],
    ['heads that do not divide the width', ['--heads', '3'], /3 heads/],
  ];
  test.concurrent.each(wrong)('%s is one line, and exit code 1', async (_, args, message) => {
    const { exitCode, stderr } = await train('--steps', '2', ...args);
    expect(exitCode).toBe(1);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(message);
    expect(stderr).toStartWith('error: ');
  });

  test('refuses to resume from what is missing, truncated or of another model', async () => {
    const out = place('refused');
    const resume = (...more: string[]): Promise<Finished> => train('--steps', '4', '--out', out, '--resume', ...more);
    const missing = await resume();
    expect([missing.exitCode, missing.stderr]).toEqual([
      1,
      expect.stringMatching(/^error: .*no file .*checkpoint\.safetensors/),
    ]);

    expect((await train('--steps', '2', '--out', out)).exitCode).toBe(0);
    const other = await resume('--width', '24');
    expect([other.exitCode, other.stderr]).toEqual([
      1,
      expect.stringMatching(/^error: .*is from another model: .*\[256, 16\].*\[256, 24\]/),
    ]);

    const checkpoint = join(out, 'checkpoint.safetensors');
    truncateSync(checkpoint, readFileSync(checkpoint).length - 100);
    const short = await resume();
    expect([short.exitCode, short.stderr]).toEqual([1, expect.stringMatching(/^error: .*is truncated/)]);
  });
});
