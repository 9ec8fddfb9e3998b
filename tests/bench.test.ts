/** The program behind `npm run bench`, at sizes that prove it and say nothing of speed. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceInfo } from 'castor';
import { levelFacts, levels } from '../benchmarks/levels.ts';
import { readOptions, withoutLevel } from '../benchmarks/options.ts';
import { chosen, parts, wantedIn } from '../benchmarks/parts.ts';
import { jsonLines, kept, overTorch, reaches, rowsOf, summary, tableOf, type Row } from '../benchmarks/report.ts';
import { fileOf, slug } from '../benchmarks/results.ts';
import { rows as tableRows } from '../benchmarks/table.ts';
import { ISAS } from '../runtime/ffi/environment.ts';
import { takeTurns } from '../benchmarks/turns.ts';
import type { Torch } from '../benchmarks/torch.ts';
import { finished, root } from './process.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-bench-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function bench(
  args: readonly string[],
  variables: Record<string, string> = {},
): Promise<[number, string, string]> {
  const child = Bun.spawn([process.execPath, join(root, 'benchmarks/run.ts'), ...args], {
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { exitCode, stdout, stderr } = await finished(child);
  return [exitCode, stdout, stderr];
}
interface Line {
  name: string;
  value: number;
  unit: string;
  threads: number;
  torch?: number;
  overTorch?: number;
}
const linesOf = (text: string): Line[] =>
  text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Line);

/** A Python that has torch, and whose measurements all take so many seconds. It notes what it is asked for. */
function fakeTorch(seconds: number, asked: string): string {
  const python = join(folder, `python-${seconds}`);
  const about = JSON.stringify({ torch: '9.9', level: 'FAKE', parts: ['mlp', 'table'] });
  const answer = JSON.stringify({ figures: { seconds } });
  const program = `#!/bin/sh
if [ "$1" = -c ]; then exit; fi
echo "$ATEN_CPU_CAPABILITY" > '${asked}'
echo '${about}'
while read -r line; do
  echo "$line" >> '${asked}'
  echo '${answer}'
done
`;
  writeFileSync(python, program, { mode: 0o755 });
  return python;
}

describe('the benchmark', () => {
  test('measures each part that does not take minutes, at both numbers of threads', async () => {
    const [code, out, errors] = await bench([
      '--json',
      '--tiny',
      '--no-torch',
      '--rounds',
      '1',
      '--threads',
      '1,2',
      'mlp',
      'convnet',
      'gpt',
      'add',
    ]);
    expect([code, errors]).toEqual([0, '']);
    const lines = linesOf(out);
    const names = lines.map(({ name }) => name);
    for (const name of [
      'gpt512.bf16.speedup',
      'gpt512.f16.speedup',
      'gpt128.bf16.speedup',
      'gpt.step.f32.ms',
      'mlp.adam.ms',
    ])
      expect(names).toContain(name);
    for (const name of ['gpt512.f32.ms', 'mlp.bf16.ms', 'convnet.f16.ms', 'add.16m.gbps'])
      expect(lines.filter(line => line.name.split('@')[0] === name).map(({ threads }) => threads)).toEqual([1, 2]);
    expect(new Set(names).size).toBe(names.length);
    expect(lines.every(({ value }) => Number.isFinite(value) && value > 0)).toBe(true);
    expect(names.filter(name => name.includes('vsTorch'))).toEqual([]);
  });
  test('measures single ops of the table and single products', async () => {
    const [code, out, errors] = await bench([
      ...['--json', '--tiny', '--no-torch', '--rounds', '1', '--threads', '1'],
      ...['table.softmax', 'table.castLow', 'matmul.256'],
    ]);
    expect([code, errors]).toEqual([0, '']);
    expect(linesOf(out).map(({ name }) => name)).toEqual([
      ...['nn', 'nt', 'tn', 'tt'].map(form => `matmul.256.f32.${form}`),
      'table.castLow.f32.us',
      ...['softmax.f32', 'softmax.bf16', 'softmax.both.f32', 'softmax.both.bf16'].map(name => `table.${name}.us`),
    ]);
  });
  test('asks PyTorch for the same cases, sizes and threads, in turn, and prints its figures', async () => {
    const asked = join(folder, 'asked');
    const python = fakeTorch(0.05, asked);
    const [code, out] = await bench(['--json', '--tiny', '--rounds', '2', '--threads', '2', 'mlp'], {
      CASTOR_PYTHON: python,
    });
    expect(code).toBe(0);
    const lines = linesOf(out);
    const step = lines.find(({ name }) => name === 'mlp.f32.ms')!;
    expect([step.torch, step.overTorch]).toEqual([50, 50 / step.value]);
    expect(lines.find(({ name }) => name === 'mlp.f32.vsTorch')!.value).toBeCloseTo(50 / step.value, 9);
    const [, ...noted] = (await Bun.file(asked).text()).trimEnd().split('\n');
    const requests = noted.map(line => JSON.parse(line));
    expect(requests[0].sizes).toEqual({ width: 32, batch: 4, dtypes: ['f32', 'bf16', 'f16'] });
    expect(requests.map(({ how }) => how.threads)).toEqual(requests.map(() => 2));
    // Two calls of each prepare it: it takes longer than a sample should. Then the cases take turns.
    const cases = requests.map(({ how }) => how.case);
    const prepared = ['f32', 'f32', 'bf16', 'bf16', 'f16', 'f16'];
    expect(cases).toEqual([...prepared, 'f32', 'bf16', 'f16', 'f32', 'bf16', 'f16']);
  });
  test('prints the machine, the level and the threads', async () => {
    const [code, out] = await bench(['--tiny', '--no-torch', '--rounds', '1', '--threads', '1', 'mlp']);
    const { name, isa } = deviceInfo('cpu');
    expect([code, out.split('\n')[0]]).toEqual([0, expect.stringContaining(`${name}, level ${isa}, 1 thread;`)]);
  });
  test('keeps PyTorch to the instructions of the level', async () => {
    const asked = join(folder, 'level');
    const variables = { CASTOR_PYTHON: fakeTorch(0.06, asked) };
    const [code] = await bench(['--tiny', '--rounds', '1', '--threads', '1', '--level', 'generic', 'mlp'], variables);
    expect([code, (await Bun.file(asked).text()).split('\n')[0]]).toEqual([0, 'default']);
  });
  const lacksTiles = !readFileSync('/proc/cpuinfo', 'utf8').includes('amx_bf16');
  test.if(lacksTiles)('does not take figures of one level for those of another', async () => {
    const [code, out] = await bench(['--tiny', '--no-torch', '--level', 'amx', 'mlp']);
    expect([code > 0, out]).toEqual([true, '']);
  });
  test('runs at another level', async () => {
    const [code, out] = await bench([
      '--tiny',
      '--no-torch',
      '--level',
      'generic',
      '--threads',
      '1',
      '--rounds',
      '1',
      'mlp',
    ]);
    expect([code, out.split('\n')[0]]).toEqual([0, expect.stringContaining('level generic,')]);
  });
  test.each([
    [['nonsense'], "there is no part 'nonsense'; there are op, gate,"],
    [['--level', 'sse9'], "there is no level 'sse9'; there are generic, avx2,"],
    [['--rounds', '0'], "--rounds is '0', and not a whole number from 1 to 999"],
    [['--threads', '1,x'], "--threads is 'x', and not a whole number"],
    [['--tiny', '--save'], 'its figures are not saved'],
    [['--processor-time', '--threads', '2'], '--processor-time is that of one thread'],
    [['--save', 'table.add'], '--save keeps whole parts, not table.add'],
    [['--fast'], "Unknown option '--fast'"],
  ])('refuses %p', async (args, text) => {
    const [code, out, errors] = await bench(args);
    expect([code, out, errors]).toEqual([2, '', expect.stringContaining(text)]);
  });
});

describe('cases of PyTorch', () => {
  const text = (file: string): string => readFileSync(join(root, 'benchmarks', file), 'utf8');
  const keysAfter = (file: string, start: string): string[] =>
    [
      ...text(file)
        .split(start)[1]!
        .split('\n}')[0]!
        .matchAll(/^ {4}"([\w.]+)":/gm),
    ].map(([, name]) => name!);
  test('of the table are those of Castor', () => {
    expect(keysAfter('table.py', 'CASES = {')).toEqual(Object.keys(tableRows));
  });
  test('have parts for all that is asked for', () => {
    const asked = readdirSync(join(root, 'benchmarks'))
      .filter(name => name.endsWith('.ts'))
      .flatMap(name => [...text(name).matchAll(/\bpart: '(\w+)'/g)].map(([, part]) => part!));
    expect([...new Set(asked)].toSorted()).toEqual(keysAfter('cpu.py', 'PARTS = {').toSorted());
  });
});

describe('turns', () => {
  const way = { threads: 1, rounds: 3, sample: 0.02, clock: 'wall', failed: () => {} } as const;
  test('take medians of rounds in which Castor and PyTorch alternate', async () => {
    const order: string[] = [];
    const torch = { about: {}, parts: [], stop: () => {}, measure: async () => (order.push('torch'), { seconds: 3 }) };
    const slow = (): void => {
      order.push('own');
      Bun.sleepSync(25);
    };
    const { own, torch: theirs } = await takeTurns({ part: 'p', sizes: {}, cases: { slow } }, { ...way, torch });
    expect(theirs).toEqual({ slow: 3 });
    expect(own['slow']).toBeGreaterThan(0.02);
    expect(order).toEqual(['own', 'own', 'torch', 'torch', 'own', 'torch', 'own', 'torch', 'own', 'torch']);
  });
  test('count the time of the processor, in which a process that sleeps takes none', async () => {
    const what = { part: 'p', sizes: {}, cases: { sleeps: () => Bun.sleepSync(30) } };
    const { own } = await takeTurns(what, { ...way, clock: 'processor', sample: 0, torch: null });
    expect(own['sleeps']).toBeLessThan(0.015);
  });
  test('have one sample of a case that takes many seconds', async () => {
    let asked = 0;
    const torch: Torch = { about: {}, parts: [], stop: () => {}, measure: async () => (asked++, { seconds: 60 }) };
    const what = { part: 'p', sizes: {}, cases: { slow: () => {} } };
    expect((await takeTurns(what, { ...way, torch })).torch).toEqual({ slow: 60 });
    expect(asked).toBe(1);
  });
  test('leave out cases that PyTorch does not have', async () => {
    const torch: Torch = { about: {}, parts: [], stop: () => {}, measure: () => Promise.resolve({ seconds: 2 }) };
    const cases = { both: () => {}, mine: () => {} };
    const times = await takeTurns({ part: 'p', sizes: {}, cases, alone: ['mine'] }, { ...way, torch });
    expect([Object.keys(times.own), times.torch]).toEqual([['both', 'mine'], { both: 2 }]);
  });
  test('go on without PyTorch where it fails, and say so', async () => {
    const failures: string[] = [];
    const torch: Torch = {
      about: {},
      parts: [],
      stop: () => {},
      measure: () => Promise.reject(new Error('PyTorch: no such op')),
    };
    const what = { part: 'table', sizes: { name: 'a' }, cases: { a: () => {} } };
    const times = await takeTurns(what, { ...way, torch, failed: text => void failures.push(text) });
    expect([times.torch, Object.keys(times.own)]).toEqual([null, ['a']]);
    expect(failures).toEqual(['table {"name":"a"}: PyTorch: no such op']);
  });
  test('do not hide an error of Castor', async () => {
    const fails = (): void => {
      throw new Error('a bug');
    };
    const what = { part: 'p', sizes: {}, cases: { fails } };
    await expect(takeTurns(what, { ...way, torch: null })).rejects.toThrow('a bug');
  });
});

describe('limits', () => {
  test.each([
    [1.3, '>= 1.3', true],
    [1.29, '>= 1.3', false],
    [10, '<= 10', true],
    [10.1, '<= 10', false],
    [0, '0', true],
    [1, '0', false],
  ])('%p and %p: %p', (value, must, expected) => expect(reaches(value, must)).toBe(expected));
  test('that cannot be read are errors', () => expect(() => reaches(1, 'about 3')).toThrow("'about 3' is not a limit"));

  const row = (more: Partial<Row>): Row => ({ name: 'a', unit: 'ms', measured: [], ...more });
  test('of the ratio to PyTorch: its time over that of Castor, for times and for rates', () => {
    expect(overTorch({ unit: 'ms' }, { threads: 1, value: 2, torch: 6 })).toBe(3);
    expect(overTorch({ unit: 'GFLOP/s' }, { threads: 1, value: 6, torch: 2 })).toBe(3);
    expect(overTorch({ unit: 'ratio' }, { threads: 1, value: 6, torch: 2 })).toBeNull();
    expect(overTorch({ unit: 'ms' }, { threads: 1, value: 6 })).toBeNull();
  });
  test('are both looked at, and without PyTorch that of the value only', () => {
    const limited = row({ must: '<= 5', mustOverTorch: '>= 2' });
    expect(kept(limited, { threads: 1, value: 4, torch: 8 })).toBe(true);
    expect(kept(limited, { threads: 1, value: 4, torch: 7 })).toBe(false);
    expect(kept(limited, { threads: 1, value: 6, torch: 60 })).toBe(false);
    expect(kept(limited, { threads: 1, value: 4 })).toBe(true);
    expect(kept(row({ mustOverTorch: '>= 2' }), { threads: 1, value: 4 })).toBeNull();
    expect(kept(row({}), { threads: 1, value: 4 })).toBeNull();
  });
  test('of the speedup depend on the level', () => {
    expect(ISAS).toEqual([...levels]);
    expect(levels.map(level => levelFacts[level].speedup.bf16)).toEqual(['>= 1', '>= 1', '>= 1', '>= 1.4', '>= 2.5']);
    expect(levels.map(level => levelFacts[level].speedup.f16)).toEqual(['>= 1', '>= 1', '>= 1', '>= 1', '>= 1.7']);
  });

  const rows = rowsOf([
    { threads: 1, figure: { name: 'a.ms', value: 8, unit: 'ms', torch: 4, must: '<= 9', mustOverTorch: '>= 1' } },
    { threads: 1, figure: { name: 'b', value: 120.4, unit: 'MB' } },
    { threads: 2, figure: { name: 'a.ms', value: 2, unit: 'ms', torch: 4, must: '<= 9', mustOverTorch: '>= 1' } },
  ]);
  test('are marked in the table and named below it', () => {
    const [head, a, b] = tableOf(rows, [1, 2]).split('\n');
    expect(head!.split(/ +/)).toEqual([
      'figure',
      'unit',
      'Castor@1',
      'PyTorch@1',
      'ratio',
      'Castor@2',
      'PyTorch@2',
      'ratio',
      'must',
    ]);
    expect(a!.split(/ +/)).toEqual('a.ms ms 8.00 4.00 0.500 ! 2.00 4.00 2.00 <= 9, >= 1 over PyTorch'.split(' '));
    expect(b!.split(/ +/)).toEqual(['b', 'MB', '120']);
    expect(summary(rows)).toBe('1 of 2 figures reach their limits. These do not (!): a.ms@1');
  });
  test('and figures have one JSON line for each number of threads, with names of their own', () => {
    expect(rows.flatMap(jsonLines).map(line => JSON.parse(line))).toEqual([
      { name: 'a.ms@1', value: 8, unit: 'ms', threads: 1, torch: 4, overTorch: 0.5 },
      { name: 'a.ms', value: 2, unit: 'ms', threads: 2, torch: 4, overTorch: 2 },
      { name: 'b', value: 120.4, unit: 'MB', threads: 1 },
    ]);
  });
});

describe('options', () => {
  test('have defaults for machines with one processor and with more', () => {
    expect(readOptions([], 1)).toMatchObject({
      threads: [1],
      rounds: 7,
      torch: true,
      json: false,
      names: [],
      levels: [],
    });
    expect(readOptions(['--threads=4,1', 'op', '--no-torch'], 8)).toMatchObject({
      threads: [1, 4],
      names: ['op'],
      torch: false,
    });
  });
  test('of a level are left out for the process at that level', () => {
    expect(withoutLevel(['op', '--level', 'avx2', '--json'])).toEqual(['op', '--json']);
    expect(withoutLevel(['--level=avx2,generic', 'gate'])).toEqual(['gate']);
  });
  test('choose parts by a piece of their name, by earlier names, and by figures', () => {
    const names = (...asked: string[]): string[] => chosen(asked, false).map(({ name }) => name);
    expect(names('gpt')).toEqual(['gpt128', 'gpt512']);
    expect(names('gemm', 'amp')).toEqual(['activation', 'matmul']);
    expect(names('table.add')).toEqual(['table']);
    expect(names()).not.toContain('train');
    expect(names('train')).toEqual(['train']);
    expect(chosen([], true)).toEqual(parts);
    const table = parts.find(({ name }) => name === 'table')!;
    expect(['table.add.f32', 'table.sub.f32'].map(wantedIn(table, ['table.add', 'op']))).toEqual([true, false]);
    expect(wantedIn(table, ['table.add', 'tab'])('table.sub.f32')).toBe(true);
  });
  test('name the file of a machine and level', () => {
    expect(slug('Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz')).toBe('intel-xeon-platinum-8481c-cpu-2-70ghz');
    expect(fileOf({ machine: 'AMD EPYC 9B14', level: 'avx512bf16' })).toBe('cpu-amd-epyc-9b14-avx512bf16.json');
  });
});
