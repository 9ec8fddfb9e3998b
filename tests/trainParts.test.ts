/** The parts of train, each by itself: options, formatting of numbers, progress, plots, losses and generated text. */
import { afterAll, afterEach, describe, expect, spyOn, test } from 'bun:test';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ArgumentError,
  full,
  getDefaultDevice,
  GradScaler,
  isGradEnabled,
  nn,
  optim,
  tensor,
  tidy,
  train,
  zeros,
  type Tensor,
} from 'castor';
import { lossPlot, ticks } from '../runtime/train/plot.ts';
import { liveStorages } from './setup.ts';

const folder = mkdtempSync(join(tmpdir(), 'castor-parts-'));
afterAll(() => rmSync(folder, { recursive: true }));
const row = (step: number, loss: number | null, heldOutLoss: number | null = null): train.Metrics => ({
  step,
  loss,
  heldOutLoss,
  tokensPerSecond: 1000,
  lossScale: 65536,
  skippedSteps: 2,
  peakBytes: 97e6,
});
const terminal = (isTTY: boolean, columns?: number) => {
  const texts: string[] = [];
  return { texts, isTTY, ...(columns === undefined ? {} : { columns }), write: (text: string) => texts.push(text) };
};

describe('options', () => {
  const table = {
    fast: train.flag('be quick'),
    out: train.text('PATH', 'where to write'),
    kind: train.choice(['big', 'small'], 'small', 'how large'),
    steps: train.whole(100, 'steps to train'),
    seed: train.whole(0, 'of the random numbers', 0),
    rate: train.real(0.5, 'how quick'),
  };
  const parsed = (...argv: string[]) => train.parseOptions(table, argv);
  const defaults = { fast: false, out: null, kind: 'small' as const, steps: 100, seed: 0, rate: 0.5 };

  test('not given have their defaults', () => expect(parsed()).toEqual(defaults));
  test.each<[string[], Partial<Record<keyof typeof table, unknown>>]>([
    [['--fast'], { fast: true }],
    [['--out', 'a/b'], { out: 'a/b' }],
    [['--out=a/b'], { out: 'a/b' }],
    [['--out=a=b'], { out: 'a=b' }],
    [['--out', 'a=b'], { out: 'a=b' }],
    [['--out', '--fast'], { out: '--fast' }],
    [['--kind', 'big'], { kind: 'big' }],
    [['--kind=big', '--kind', 'small'], { kind: 'small' }],
    [['--steps', '1'], { steps: 1 }],
    [['--steps=9007199254740991'], { steps: Number.MAX_SAFE_INTEGER }],
    [['--seed', '0'], { seed: 0 }],
    [['--rate', '0'], { rate: 0 }],
    [['--rate=1e-3', '--fast', '--steps', '7'], { rate: 0.001, fast: true, steps: 7 }],
  ])('%j', (argv, changes) => expect(parsed(...argv)).toEqual({ ...defaults, ...changes } as never));
  test.each([[['--help']], [['-h']], [['--fast', '--help', '--nonsense']], [['--help=1']]])('%j asks for help', argv =>
    expect(parsed(...argv)).toBeNull(),
  );
  test.each<[string[], RegExp]>([
    [['--fast=1'], /--fast takes no value/],
    [['--out='], /--out wants PATH, not /],
    [['--out'], /--out wants PATH, not nothing/],
    [['--kind', 'huge'], /--kind wants one of big, small, not huge/],
    [['--steps', '0'], /--steps wants a whole number >= 1, not 0/],
    [['--steps', '-1'], /not -1/],
    [['--steps', '2.5'], /not 2\.5/],
    [['--steps', '1e3'], /not 1e3/],
    [['--steps', 'x5'], /not x5/],
    [['--steps', '9007199254740992'], /not 9007199254740992/],
    [['--seed', '-1'], /a whole number >= 0/],
    [['--rate', '-0.1'], /--rate wants a number >= 0, not -0\.1/],
    [['--rate', ' '], /a number >= 0/],
    [['--rate', 'Infinity'], /a number >= 0/],
    [['--rate', 'fast'], /a number >= 0/],
    [['--stepz', '1'], /no option --stepz.*Did you mean --steps\?.*--help/],
    [['-steps', '1'], /no option -steps.*Did you mean --steps/],
    [['--x'], /no option --x(?!.*Did you mean)/],
    [['word'], /no option word/],
    [['toString'], /no option toString/],
    [['--toString', '1'], /no option --toString/],
    [['=1'], /no option =1/],
  ])('%j is refused', (argv, message) => {
    expect(() => parsed(...argv)).toThrow(ArgumentError);
    expect(() => parsed(...argv)).toThrow(message);
  });
  test('--help names each with its value and its default, in columns', () => {
    expect(train.helpText('program [options]', table).split('\n')).toEqual([
      'program [options]',
      '',
      '  --fast            be quick',
      '  --out PATH        where to write',
      '  --kind big|small  how large (default small)',
      '  --steps N         steps to train (default 100)',
      '  --seed N          of the random numbers (default 0)',
      '  --rate X          how quick (default 0.5)',
      '  --help            print this',
    ]);
  });
  test.each<[unknown, boolean]>([
    [{}, true],
    [table, true],
    [{ steps: 3 }, false],
    [{ steps: null }, false],
    [{ steps: { fallback: 1, help: 'x' } }, false],
    [{ steps: { fallback: 1, parse: () => 1 } }, false],
    [{ steps: { help: 'x', parse: () => 1 } }, false],
    [null, false],
    ['steps', false],
  ])('row %# is a table of options, or is not', (given, fits) => {
    const call = (): unknown => train.parseOptions(given as never, ['--help']);
    if (fits) expect(call()).toBeNull();
    else expect(call).toThrow(/table/);
  });
});

describe('a program', () => {
  const argv = process.argv;
  afterEach(() => {
    process.argv = argv;
    process.exitCode = 0;
  });
  /** The output and the exit code of a program with these arguments. */
  async function ran(words: string[], main: (options: { steps: number }) => Promise<void>) {
    process.argv = ['bun', 'program.ts', ...words];
    process.exitCode = 0;
    const out = spyOn(console, 'log').mockImplementation(() => {});
    const error = spyOn(console, 'error').mockImplementation(() => {});
    try {
      await train.program('usage', { steps: train.whole(3, 'steps') }, main);
      return { out: out.mock.calls.flat(), error: error.mock.calls.flat(), exitCode: process.exitCode };
    } finally {
      out.mockRestore();
      error.mockRestore();
    }
  }
  test('gets its options, or prints help instead', async () => {
    const seen: number[] = [];
    const note = async ({ steps }: { steps: number }): Promise<void> => void seen.push(steps);
    expect(await ran(['--steps', '5'], note)).toEqual({ out: [], error: [], exitCode: 0 });
    const { out, exitCode } = await ran(['--help'], note);
    expect([String(out[0]).split('\n')[0], exitCode]).toEqual(['usage', 0]);
    expect(seen).toEqual([5]);
  });
  test.each<[string, () => unknown, RegExp]>([
    ['an error of Castor', () => zeros([-1]), /^error: /],
    ['an error of the system', () => readFileSync('/nowhere/at/all'), /^error: .*ENOENT/],
  ])('%s is one line and exit code 1', async (_, fail, message) => {
    const { error, exitCode } = await ran([], async () => void fail());
    expect([error.length, exitCode]).toEqual([1, 1]);
    expect(error[0]).toMatch(message);
  });
  test.each<[string, unknown]>([
    ['any other error', new Error('a bug')],
    ['an error with a syscall that is no text', Object.assign(new Error('a bug'), { syscall: 3 })],
    ['what is no error', { syscall: 'open' }],
  ])('%s is thrown on', async (_, thrown) => {
    const caught = await ran([], () => Promise.reject(thrown as Error)).catch((error: unknown) => error);
    expect(caught).toBe(thrown);
    expect(process.exitCode).toBe(0);
  });
  test.each(['SIGINT', 'SIGTERM'] as const)('%s is a wish once', signal => {
    const listeners = (): number[] => [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
    const before = listeners();
    const asked = train.interruption();
    expect(asked.wanted).toBe(false);
    expect(listeners()).toEqual(before.map(n => n + 1));
    process.emit(signal);
    expect(asked.wanted).toBe(true);
    expect(listeners()).toEqual(before);
  });
});

test.each<[number, string]>([
  [0, '0'],
  [5, '5'],
  [12.6, '13'],
  [999.4, '999'],
  [999.5, '1.0k'],
  [1000, '1.0k'],
  [9949, '9.9k'],
  [9950, '10k'],
  [21_000, '21k'],
  [999_499, '999k'],
  [999_500, '1.0M'],
  [1_250_000, '1.3M'],
  [3e9, '3.0G'],
  [4.5e12, '4.5T'],
  [1e15, '1000T'],
])('the count %p is written %p', (value, text) => {
  expect(train.shortCount(value)).toBe(text);
  expect(train.shortBytes(value)).toBe(`${text}B`);
});
test.each<[number, string]>([
  [-5, '0:00'],
  [0.4, '0:00'],
  [0.5, '0:01'],
  [9, '0:09'],
  [10, '0:10'],
  [59.4, '0:59'],
  [59.5, '1:00'],
  [3599, '59:59'],
  [3600, '1:00:00'],
  [3661, '1:01:01'],
  [7325, '2:02:05'],
  [360_000, '100:00:00'],
])('%p seconds are %p', (seconds, text) => expect(train.clock(seconds)).toBe(text));
test('a device is named with what is known of it', () =>
  expect(train.deviceLine('cpu')).toMatch(/^cpu \((?:[^,]+, )?\w+, \d+ threads\)$/));

describe('progress', () => {
  test('elsewhere than on a terminal is a line every few steps and at the end', () => {
    const stream = terminal(false);
    const progress = new train.Progress(12, { stream, every: 5 });
    for (let step = 1; step <= 12; step++) progress.update(row(step, step === 5 ? null : 2), 61);
    expect(stream.texts).toEqual([
      ' 5/12  1:01 left  1.0k tokens/s  scale 65536  skipped 2  peak 97MB\n',
      '10/12  loss 2.000  1:01 left  1.0k tokens/s  scale 65536  skipped 2  peak 97MB\n',
      '12/12  loss 2.000  1:01 left  1.0k tokens/s  scale 65536  skipped 2  peak 97MB\n',
    ]);
  });
  test('is every tenth step unless told otherwise; a speed that is not known is left out', () => {
    const stream = terminal(false);
    const progress = new train.Progress(25, { stream });
    for (let step = 1; step <= 25; step++) progress.update({ ...row(step, 1), tokensPerSecond: null }, 0);
    expect(stream.texts.map(text => text.slice(0, 5))).toEqual(['10/25', '20/25', '25/25']);
    expect(stream.texts.join('')).not.toContain('tokens');
  });
  test.each<[number, number | undefined, number, number]>([
    [0, 41, 40, 0],
    [5, 41, 40, 20],
    [10, 41, 40, 40],
    [15, 41, 40, 40],
    [5, undefined, 79, 40],
    [5, 200, 199, 100],
  ])('on a terminal, step %p of 10 in %p columns, is a bar of %p, %p inverted', (step, columns, width, inverted) => {
    const stream = terminal(true, columns);
    new train.Progress(10, { stream }).update(row(step, 2), 5);
    expect(stream.texts).toHaveLength(1);
    const [, full, rest] = /^\r\x1b\[7m(.*)\x1b\[27m(.*)$/.exec(stream.texts[0]!)!;
    expect([full!.length, full!.length + rest!.length]).toEqual([inverted, width]);
    expect(`${full}${rest}`).toStartWith(`${String(step).padStart(2)}/10  loss 2.000  0:05 left`);
  });
  test('lines between cannot steer a terminal', () => {
    const [plain, moving] = [terminal(false), terminal(true)];
    for (const stream of [plain, moving]) new train.Progress(1, { stream }).print('a\x1b[2Jb\tc\nd\x07\x00\x7f\x9f~');
    const shown = 'a\ufffd[2Jb\tc\nd\ufffd\ufffd\ufffd\ufffd~\n';
    expect([plain.texts, moving.texts]).toEqual([[shown], [`\r\x1b[K${shown}`]]);
  });
});

describe('a monitor', () => {
  /** Runs with a simulated clock, in milliseconds, which the test moves. */
  async function withClock(run: (advance: (ms: number) => void) => Promise<void>): Promise<void> {
    let now = 1000;
    const clock = spyOn(performance, 'now').mockImplementation(() => now);
    try {
      await run(ms => void (now += ms));
    } finally {
      clock.mockRestore();
    }
  }
  const loss = (value: number): Tensor => full([], value);
  const speeds = (monitor: train.Monitor): unknown[] =>
    monitor.log.rows.map(({ step, loss, heldOutLoss, tokensPerSecond }) => [step, loss, heldOutLoss, tokensPerSecond]);

  test('measures speed without the time of milestones, and sums up', async () => {
    const out = join(folder, 'monitored');
    const stream = terminal(true, 60);
    await withClock(async advance => {
      const monitor = new train.Monitor({ steps: 10, tokensPerStep: 100, out, stream, device: 'cpu' });
      const milestone = async (): Promise<number> => (advance(50_000), 3);
      await monitor.record(0, null, milestone);
      advance(1000);
      using first = loss(2.5);
      await monitor.record(2, first);
      advance(3000);
      using second = loss(2);
      await monitor.record(4, second, milestone);
      expect(speeds(monitor)).toEqual([
        [0, null, 3, null],
        [2, 2.5, null, 200],
        [4, 2, 3, 67],
      ]);
      monitor.finish();
    });
    const plain = stream.texts.map(text => text.replaceAll(/\r|\x1b\[\d*[mK]/g, ''));
    expect(plain[0]).toBe('step 0: held-out loss 3.0000\n');
    expect(plain[1]).toStartWith(' 2/10  loss 2.500  0:04 left  200 tokens/s');
    expect(plain[2]).toBe('step 4: held-out loss 3.0000\n');
    expect(plain[3]).toStartWith(' 4/10  loss 2.000  0:06 left  67 tokens/s');
    expect(plain[4]).toContain('┤');
    expect(plain[5]).toMatch(/^4 steps in 0:04, 1000 ms a step, peak memory [\d.]+[kMGT]?B\n$/);
    expect(plain).toHaveLength(6);
    expect(train.readRows(join(out, 'metrics.jsonl')).map(({ step }) => step)).toEqual([0, 2, 4]);
    expect(readFileSync(join(out, 'loss.svg'), 'utf8')).toContain('<polyline');
  });
  test('that goes on counts its own steps only', async () => {
    const out = join(folder, 'monitored');
    const stream = terminal(true, 60);
    await withClock(async advance => {
      const monitor = new train.Monitor({ steps: 10, tokensPerStep: 100, out, stream, device: 'cpu', from: 2 });
      expect(monitor.log.rows.map(({ step }) => step)).toEqual([0, 2]);
      using value = loss(1);
      await monitor.record(2, value);
      advance(2000);
      await monitor.record(3, value);
      expect(speeds(monitor).slice(2)).toEqual([
        [2, 1, null, null],
        [3, 1, null, 50],
      ]);
      monitor.finish();
    });
    const plain = stream.texts.map(text => text.replaceAll(/\r|\x1b\[\d*[mK]/g, ''));
    expect(plain[0]).toStartWith(' 3/10  loss 1.000  0:14 left  50 tokens/s');
    expect(plain.at(-1)).toStartWith('1 steps in 0:02, 2000 ms a step');
  });
  test('reads every few steps, but at each milestone, and writes no file without a folder', async () => {
    for (const out of [undefined, null]) {
      const monitor = new train.Monitor({ steps: 9, tokensPerStep: 1, every: 3, out, stream: terminal(false) });
      using value = loss(1);
      for (const step of [1, 2, 3]) await monitor.record(step, value);
      await monitor.record(4, value, async () => 2);
      expect(monitor.log.rows.map(({ step }) => step)).toEqual([3, 4]);
      monitor.finish();
    }
    expect(existsSync('loss.svg') || existsSync('metrics.jsonl')).toBe(false);
  });
  test('reads each step on a CPU, every tenth elsewhere', async () => {
    const monitor = new train.Monitor({ steps: 20, tokensPerStep: 1, stream: terminal(false) });
    for (let step = 1; step <= 20; step++) await monitor.record(step, null);
    expect(monitor.log.rows).toHaveLength(getDefaultDevice() === 'cpu' ? 20 : 2);
  });
  test('without a step says so', () => {
    const stream = terminal(false);
    new train.Monitor({ steps: 5, tokensPerStep: 1, stream, from: 3 }).finish();
    expect(stream.texts).toHaveLength(1);
    expect(stream.texts[0]).toMatch(/^0 steps in 0:00, peak memory /);
  });
  test('notes the scale of the loss and the steps that were skipped', async () => {
    const scaler = new GradScaler({ initScale: 8 });
    const w = nn.Parameter(zeros([1]));
    const optimizer = new optim.SGD([w], { lr: 1 });
    const monitor = new train.Monitor({ steps: 5, tokensPerStep: 1, scaler, stream: terminal(false), every: 1 });
    await monitor.record(1, null);
    tidy(() => {
      scaler.scale(w.mul(Infinity).sum()).backward();
      scaler.step(optimizer);
      scaler.update();
    });
    await monitor.record(2, null);
    expect(monitor.log.rows.map(({ lossScale, skippedSteps }) => [lossScale, skippedSteps])).toEqual([
      [8, 0],
      [4, 1],
    ]);
    optimizer.zeroGrad();
    w.dispose();
    const plain = new train.Monitor({ steps: 5, tokensPerStep: 1, stream: terminal(false), every: 1 });
    await plain.record(1, null);
    expect(plain.log.rows[0]).toMatchObject({ lossScale: 1, skippedSteps: 0 });
  });
  test.each([undefined, '3', null, {}])('refuses %p as a held-out loss', async given => {
    const monitor = new train.Monitor({ steps: 5, tokensPerStep: 1, stream: terminal(false) });
    const call = monitor.record(1, null, async () => given as never).catch((error: unknown) => error);
    if (given === null) expect(await call).toBeUndefined();
    else expect(String(await call)).toMatch(/milestone gave .*, which is not a number/);
    expect(monitor.log.rows).toHaveLength(given === null ? 1 : 0);
  });
});

describe('pictures', () => {
  test('a curve is drawn in dots, eight of them a character', () =>
    expect(train.drawCurve([row(0, 4), row(1, 2)], { width: 2, height: 2 }).split('\n')).toEqual([
      '   4.00 ┤⢣⠀',
      '   2.00 ┤⠀⢣',
      '        └──',
      '         01',
    ]));
  test('one loss is a dot in the middle of its line', () => {
    const lines = train.drawCurve([row(5, 3)], { width: 4, height: 4 }).split('\n');
    expect([lines[0]!.slice(0, 7), lines[3]!.slice(0, 7)]).toEqual(['   3.50', '   2.50']);
    expect(lines.join('').match(/[\u2801-\u28ff]/g)).toHaveLength(1);
    expect(lines[5]!.trim()).toBe('4.55.5');
  });
  test.each(['width', 'height'] as const)('the %s is from 2 to 1000', name => {
    for (const size of [2, 1000]) expect(train.drawCurve([row(0, 1), row(1, 2)], { [name]: size })).not.toBe('');
    for (const size of [1, 1001, 2.5, NaN]) expect(() => train.drawCurve([], { [name]: size })).toThrow(ArgumentError);
  });
  test('64 by 12 characters unless told otherwise', () => {
    const lines = train.drawCurve([row(0, 1), row(1, 2)]).split('\n');
    expect([lines.length, lines[0]!.length, lines[12]!.length]).toEqual([14, 73, 73]);
  });
  test('SVG has the line from corner to corner, a dot for each held-out loss, and ticks', () => {
    const svg = train.lossSvg([row(0, 4, 4), row(10, 2, 3)]);
    expect(svg).toContain('viewBox="0 0 720 400"');
    expect(svg).toContain('<rect width="720" height="400"');
    expect(svg).toContain('<polyline points="56.0,36.0 704.0,356.0" fill="none" stroke="#2563eb"');
    expect(svg).toContain('<polyline points="56.0,36.0 704.0,196.0" fill="none" stroke="#dc2626"');
    expect([...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [x, y])).toEqual([
      ['56.0', '36.0'],
      ['704.0', '196.0'],
    ]);
    expect(svg).toContain('<path d="M56 196.0H704" stroke="#ddd"/><text x="48" y="196.0" dy="4" text-anchor="end">3<');
    expect(svg).toContain('<text x="574.4" y="374" text-anchor="middle">8</text>');
    expect(svg).toContain('<text x="360" y="392" text-anchor="middle">step</text>');
    const labels = (anchor: string): string[] =>
      [...svg.matchAll(new RegExp(`text-anchor="${anchor}">([\\d.]+)<`, 'g'))].map(([, label]) => label!);
    expect(labels('end')).toEqual(['2', '2.5', '3', '3.5', '4']);
    expect(labels('middle')).toEqual(['0', '2', '4', '6', '8', '10']);
  });
  test('SVG without a loss is an empty picture', () => {
    expect(train.lossSvg([row(0, null)])).not.toMatch(/polyline|circle|path/);
    expect(train.lossSvg([])).toMatch(/^<svg.*\n<rect.*\n<\/svg>\n$/);
  });
  test('the ranges of a plot are never empty', () => {
    expect(lossPlot([])).toBeNull();
    expect(lossPlot([row(1, NaN), row(2, Infinity), row(3, 1.01e300)])).toBeNull();
    expect(lossPlot([row(1, 1e300), row(2, -1e300)])!.y).toEqual({ from: -1e300, to: 1e300 });
    expect(lossPlot([row(4, 3), row(8, 3)])).toMatchObject({ x: { from: 4, to: 8 }, y: { from: 2.5, to: 3.5 } });
    expect(lossPlot([row(4, 0)])).toMatchObject({ x: { from: 3.5, to: 4.5 }, y: { from: -0.5, to: 0.5 } });
    expect(lossPlot([row(0, 1e12), row(1, 1e12)])!.y).toEqual({ from: 1e12 - 1000, to: 1e12 + 1000 });
    const { from, to } = lossPlot([row(0, 1), row(1, 1 + 1e-12)])!.y;
    expect([from, to].map(y => Math.sign(y - 1))).toEqual([-1, 1]);
    expect(to - from).toBeLessThan(1e-8);
    expect(lossPlot([row(0, 1), row(1, 1 + 1e-8)])!.y).toEqual({ from: 1, to: 1 + 1e-8 });
    expect(lossPlot([row(0, null, 2), row(1, 5)])!.y).toEqual({ from: 2, to: 5 });
  });
  test.each<[number, number, number, number[]]>([
    [0, 10, 10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    [0, 10, 5, [0, 2, 4, 6, 8, 10]],
    [0, 10, 2, [0, 5, 10]],
    [0, 9, 2, [0, 5]],
    [0, 60, 3, [0, 20, 40, 60]],
    [0, 30, 3, [0, 10, 20, 30]],
    [0, 90, 1, [0]],
    [-0.5, 0.55, 3, [-0.5, 0, 0.5]],
  ])('ticks from %p to %p, about %p', (from, to, count, expected) =>
    // 0 is added, because a tick at 0 may be -0.
    expect(ticks({ from, to }, count).map(tick => tick + 0)).toEqual(expected),
  );
});

describe('rows of metrics', () => {
  test.each<[unknown, boolean]>([
    [row(0, null), true],
    [{ step: 0 }, true],
    [{ step: -1, loss: 1, heldOutLoss: 2 }, true],
    [{ step: 0.5 }, false],
    [{ step: '0' }, false],
    [{}, false],
    [{ step: 1, loss: '2' }, false],
    [{ step: 1, heldOutLoss: {} }, false],
    [null, false],
    [3, false],
  ])('%j: %p', (given, fits) => {
    const path = join(folder, 'rows.jsonl');
    writeFileSync(path, `${JSON.stringify({ step: 0 })}\n${JSON.stringify(given)}\n`);
    if (fits) expect(train.readRows(path) as unknown[]).toEqual([{ step: 0 }, given]);
    else expect(() => train.readRows(path)).toThrow(/line 2 of .* is not a row of metrics/);
    if (fits) new train.MetricsLog(null).append(given as never);
    else expect(() => new train.MetricsLog(null).append(given as never)).toThrow(/row of metrics/);
  });
  test('a last line that was cut off is left out; one in the middle is an error', () => {
    const path = join(folder, 'cut.jsonl');
    writeFileSync(path, '{"step":1}\n{"st');
    expect(train.readRows(path).map(({ step }) => step)).toEqual([1]);
    appendFileSync(path, '\n{"step":2}\n');
    expect(() => train.readRows(path)).toThrow(/line 2 of/);
    writeFileSync(path, '');
    expect(train.readRows(path)).toEqual([]);
  });
  test('a log in memory keeps its rows; one that cannot be written says why', () => {
    const log = new train.MetricsLog(null, 3);
    log.append(row(1, 2));
    expect(log.rows).toEqual([row(1, 2)]);
    const beneath = join(folder, 'a file');
    writeFileSync(beneath, '');
    expect(() => new train.MetricsLog(join(beneath, 'metrics.jsonl'))).toThrow(/cannot be used: /);
    expect(() => new train.MetricsLog('')).toThrow(/path is empty/);
    expect(() => train.readRows(join(folder, 'none'))).toThrow(/none cannot be used/);
    expect(new train.MetricsLog(join(folder, 'not yet'), 5).rows).toEqual([]);
  });
});

describe('meanLoss', () => {
  test('is the mean over the batches, in float64, without gradients, and leaves nothing', async () => {
    const before = liveStorages();
    const w = nn.Parameter(tensor(3));
    const recorded: boolean[] = [];
    const mean = await train.meanLoss([1, 2, 6], batch => {
      const loss = w.mul(batch);
      recorded.push(loss.requiresGrad);
      return loss;
    });
    expect([mean, recorded]).toEqual([9, [false, false, false]]);
    expect(await train.meanLoss([2 ** 24, 1, 1], value => full([], value))).toBe((2 ** 24 + 2) / 3);
    w.dispose();
    expect(liveStorages()).toBe(before);
  });
  test('of no batches is NaN', async () => expect(await train.meanLoss([], () => zeros([]))).toBeNaN());
  test.each<[string, unknown]>([
    ['a number', 3],
    ['a promise', Promise.resolve(1)],
    ['nothing', undefined],
  ])('refuses %s', async (_, given) => {
    const error = await train.meanLoss([1], () => given as never).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toContain('which is not a tensor');
  });
});

describe('generateText', () => {
  /** A model that is certain of the byte after the last one. */
  const next =
    (seen: number[][] = [], certainty = 1000) =>
    (ids: Tensor): Tensor =>
      tidy(() => {
        const bytes = ids.toArraySync() as number[][];
        seen.push(bytes[0]!);
        const rows = bytes[0]!.map(byte => Array.from({ length: 256 }, (_, i) => (i === byte + 1 ? certainty : 0)));
        return tensor([rows]);
      });
  const options = { context: 2, length: 3 };

  test('adds as many bytes as wanted, each from as many before as the context has', async () => {
    const seen: number[][] = [];
    const before = liveStorages();
    expect(await train.generateText(next(seen), 'a', options)).toBe('abcd');
    expect(seen).toEqual([[97], [97, 98], [98, 99]]);
    expect(await train.generateText(next(seen), 'é', { context: 9, length: 1, temperature: 1e-3 })).toHaveLength(2);
    expect(seen.at(-1)).toEqual([0xc3, 0xa9]);
    expect(liveStorages()).toBe(before);
  });
  test('records nothing, and draws by its seed alone', async () => {
    const recorded: boolean[] = [];
    const uniform = (): Tensor => (recorded.push(isGradEnabled()), zeros([1, 1, 256]));
    const drawn = (more: object): Promise<string> =>
      train.generateText(uniform, 'a', { context: 1, length: 8, ...more });
    const text = await drawn({});
    expect(await drawn({ seed: 0 })).toBe(text);
    expect(await drawn({ seed: 1 })).not.toBe(text);
    expect(recorded).not.toContain(true);
  });
  test('a lower temperature makes likely bytes likelier', async () => {
    const share = async (temperature?: number): Promise<number> => {
      const model = (): Tensor => tensor([[Array.from({ length: 256 }, (_, i) => (i === 98 ? 4 : 0))]]);
      const text = await train.generateText(model, 'a', { context: 1, length: 300, temperature });
      return [...text].filter(letter => letter === 'b').length / 300;
    };
    // The softmax computed by hand: e^(4 / t) / (e^(4 / t) + 255).
    for (const [temperature, expected] of [
      [1, 0.176],
      [undefined, 0.368],
      [0.5, 0.921],
    ] as const)
      expect(Math.abs((await share(temperature)) - expected)).toBeLessThan(0.1);
  });
  test.each<[string, object, RegExp]>([
    ['context 0', { context: 0 }, /context 0 is not an integer > 0/],
    ['context 1.5', { context: 1.5 }, /context 1\.5/],
    ['length 0', { length: 0 }, /length 0 is not an integer > 0/],
    ['length 2^20 + 1', { length: 2 ** 20 + 1 }, /length 1048577 is more than 1048576/],
    ['temperature 0', { temperature: 0 }, /temperature 0 is not above 0/],
    ['temperature NaN', { temperature: NaN }, /temperature NaN/],
    ['temperature -1', { temperature: -1 }, /temperature -1/],
  ])('refuses %s', async (_, more, message) => {
    const error = await train.generateText(next(), 'a', { ...options, ...more }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toMatch(message);
  });
  test('takes the longest length, and says what is wrong with a prompt or a model', async () => {
    const failing = (): never => {
      throw new Error('asked');
    };
    const reasons: [Promise<string>, RegExp][] = [
      [train.generateText(failing, 'a', { context: 1, length: 2 ** 20 }), /^Error: asked/],
      [train.generateText(failing, '', options), /the prompt is empty/],
      [train.generateText(() => 3 as never, 'a', options), /logits gave 3, which is not a tensor/],
    ];
    for (const [promise, message] of reasons)
      expect(String(await promise.catch((error: unknown) => error))).toMatch(message);
  });
});
