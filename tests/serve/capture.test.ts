/** Batchers whose batches are captured as graphs: the answers are those of calling fn, and what a graph could not do is done by calling fn. */
import { afterEach, describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  autocast,
  AutocastReport,
  F,
  Generator,
  getDefaultDevice,
  GraphError,
  IndexError,
  memory,
  nn,
  noGrad,
  randn,
  setFloat32MatmulPrecision,
  tensor,
  tidy,
  withGenerator,
  zeros,
  type Tensor,
} from 'castor';
import { batcher as makeBatcher, metrics, type Batcher, type BatcherOptions } from 'castor/serve';
import { free, freeModels, mlp, row } from './models.ts';

const device = getDefaultDevice();
const made: { close(): Promise<void> }[] = [];
const batcher: typeof makeBatcher = (fn, options) => {
  const served = makeBatcher(fn, options);
  made.push(served);
  return served;
};
afterEach(async () => {
  for (const served of made.splice(0)) await served.close();
  freeModels();
});

const rows = (count: number, from = 0): Float32Array[] => Array.from({ length: count }, (_, i) => row(from + i));
type Served = Batcher<any>;
const ask = (served: Served, inputs: readonly unknown[]): Promise<unknown[]> =>
  Promise.all(inputs.map(input => served.run(input as never)));
/** Asks until the batches of this many rows are captured, and returns the answers of a graph. */
async function replayed(served: Served, inputs: readonly unknown[]): Promise<unknown[]> {
  for (let i = 0; i < 2; i++) await ask(served, inputs);
  const before = served.stats().captures!.replays;
  const answers = await ask(served, inputs);
  expect(served.stats().captures!.replays).toBe(before + 1);
  return answers;
}
const captures = (served: Served): NonNullable<ReturnType<Served['stats']>['captures']> => served.stats().captures!;
const close = (answers: unknown[]): number[][] => answers.map(each => [...(each as Float32Array)]);
function expectClose(actual: unknown[], wanted: unknown[]): void {
  const [a, b] = [close(actual), close(wanted)];
  expect(a.length).toBe(b.length);
  for (const [i, list] of a.entries()) expect(list).toBeAllclose(b[i]!, { rtol: 1e-4, atol: 1e-5 });
}
const both = (fn: (x: any, info: any) => any, options: BatcherOptions = {}): [captured: Served, called: Served] => [
  batcher(fn, { ...options, capture: true }),
  batcher(fn, options),
];

describe('a captured batch', () => {
  test.each([true, false])('gives the answers of fn, whatever its size, with offload: %p', async offload => {
    const model = mlp();
    const [served, other] = both(x => model.forward(x).softmax(-1), { maxBatch: 8, offload });
    for (const count of [1, 2, 3, 5, 8, 8, 7, 1, 13])
      for (let round = 0; round < 3; round++) {
        const inputs = rows(count, 10 * round);
        expectClose(await ask(served, inputs), await ask(other, inputs));
      }
    const { captured, replays, refused, reason } = captures(served);
    expect(captured).toBeGreaterThanOrEqual(4);
    expect(replays).toBeGreaterThan(10);
    expect([refused, reason]).toEqual([0, null]);
    expect(other.stats().captures).toBe(null);
  });
  test('is of one bucket, one dtype, one precision and one generator', async () => {
    const model = mlp();
    const seen: string[] = [];
    const fn = (x: Tensor): Tensor => (seen.push(`${x.shape}`), model.forward(x));
    const served = batcher(fn, { capture: true }) as Served;
    for (let i = 0; i < 4; i++)
      for (const precision of ['float32', 'bfloat16', 'float16'] as const) await served.run(row(1), { precision });
    expect(captures(served).captured).toBe(3);
    // Two calls and one capture each.
    expect(seen.length).toBe(9);
    const other = batcher(fn) as Served;
    for (const precision of ['float32', 'bfloat16', 'float16'] as const)
      expect(await served.run(row(5), { precision })).toEqual(await other.run(row(5), { precision }));
  });
  test('has the bits of fn in invariant mode, also after a failure', async () => {
    const model = mlp();
    const [served, other] = both(x => model.forward(x), { invariant: true, maxBatch: 4 });
    const wanted = close(await ask(other, rows(3)));
    for (let i = 0; i < 5; i++) expect(close(await ask(served, rows(3)))).toEqual(wanted);
    expect(close([await served.run(row(1))])).toEqual([wanted[1]!]);
    expect(captures(served).captured).toBe(1);
  });
  test('takes several inputs by name and gives several outputs', async () => {
    const fn = ({ a, b }: { a: Tensor; b: Tensor }): unknown => ({ sum: a.add(b), deep: { product: a.mul(b), a } });
    const [served] = both(fn as never);
    const input = (i: number): object => ({ a: [i, 1], b: [2, i] });
    await replayed(served, [input(0)]);
    for (let i = 1; i < 4; i++)
      expect((await ask(served, [input(i)]))[0]).toEqual({
        sum: new Float32Array([i + 2, i + 1]),
        deep: { product: new Float32Array([2 * i, i]), a: new Float32Array([i, 1]) },
      });
    // Batches that follow each other at once do not mix their outputs.
    const inputs = Array.from({ length: 40 }, (_, i) => input(i));
    const answers = (await ask(served, inputs)) as { sum: Float32Array; deep: { product: Float32Array } }[];
    answers.forEach(({ sum, deep }, i) => expect([sum[0], deep.product[0]]).toEqual([i + 2, 2 * i]));
  });
  test('gives tensors for tensors, which later batches do not change', async () => {
    await tidy(async () => {
      const [served] = both(x => x.mul(2));
      const input = tensor([1, 2]);
      await replayed(served, [input]);
      const first = await served.run(tensor([3, 4]));
      await served.run(tensor([5, 6]));
      expect(first.toArraySync()).toEqual([6, 8]);
      first.dispose();
    });
  });
  test('may return its input, change it in place, or dispose of it', async () => {
    for (const fn of [
      (x: Tensor) => x,
      (x: Tensor) => x.alias(),
      (x: Tensor) => x.add_(0),
      (x: Tensor) => {
        const y = x.add(0);
        x.dispose();
        return y;
      },
      (x: Tensor) => ({ x, y: x }).y,
    ]) {
      const [served] = both(fn);
      await replayed(served, [[1, 2]]);
      for (let i = 0; i < 3; i++) expect(await served.run([i, 7])).toEqual(new Float32Array([i, 7]));
      expect(captures(served).reason).toBe(null);
      await served.close();
    }
  });
  test('writes to buffers each time, as fn does', async () => {
    await tidy(async () => {
      const count = nn.Buffer(zeros([]));
      const [served] = both(x => {
        count.add_(1);
        return x.mul(count);
      });
      for (let i = 1; i < 7; i++) expect(await served.run([1])).toEqual(new Float32Array([i]));
      expect(captures(served).replays).toBe(4);
      count.dispose();
    });
  });
  test('sees weights that were written to, exchanged, converted or loaded', async () => {
    for (const precision of [undefined, 'bfloat16'] as const) {
      const model = mlp();
      const [served, other] = both(
        x =>
          model
            .forward(
              x.to(model.layers[0] instanceof nn.Linear ? (model.layers[0] as nn.Linear).weight.dtype : 'float32'),
            )
            .to('float32'),
        precision ? { precision } : {},
      );
      const same = async (): Promise<void> => {
        for (let i = 0; i < 4; i++) expectClose(await ask(served, rows(2, i)), await ask(other, rows(2, i)));
      };
      await same();
      const first = model.layers[0] as nn.Linear;
      noGrad(() => first.weight.mul_(3));
      await same();
      noGrad(() => first.bias!.fill_(2));
      await same();
      model.loadStateDict(mlp().stateDict());
      await same();
      first.weight = nn.Parameter(randn([64, 80]));
      await same();
      model.to('float64');
      await same();
      model.to('float32');
      await same();
      expect(captures(served).reason).toBe(null);
      expect(captures(served).replays).toBeGreaterThan(8);
    }
  });
  test('follows train() and eval(), and draws new random numbers', async () => {
    const dropout = new nn.Dropout(0.5).eval();
    const [served] = both(x => dropout.forward(x));
    const ones = new Float32Array(64).fill(1);
    await replayed(served, [ones]);
    expect(await served.run(ones)).toEqual(ones);
    dropout.train();
    const drawn = new Set<string>();
    for (let i = 0; i < 6; i++) drawn.add(String(await served.run(ones)));
    expect(drawn.size).toBe(6);
    expect(drawn.has(String(ones))).toBe(false);
    dropout.eval();
    for (let i = 0; i < 4; i++) expect(await served.run(ones)).toEqual(ones);
    expect(captures(served).reason).toBe(null);
  });
  test('draws from the generator of the request', async () => {
    const [served] = both(x => x.add(randn(x.shape)));
    const draw = async (seed: number, count: number): Promise<string[]> =>
      withGenerator(new Generator(seed), async () => {
        const drawn = [];
        for (let i = 0; i < count; i++) drawn.push(String(await served.run([0, 0])));
        return drawn;
      });
    const first = await draw(1, 5);
    expect(new Set(first).size).toBe(5);
    expect(await draw(1, 5)).toEqual(first);
    expect(await draw(2, 5)).not.toEqual(first);
  });
  test('has the autocast of its scope, and that inside of fn', async () => {
    const model = mlp();
    const inside = (x: Tensor): Tensor => autocast({ dtype: 'bfloat16', device }, () => model.forward(x)).to('float32');
    const [served, other] = both(inside);
    await replayed(served, [row(1)]);
    expect(await served.run(row(2))).toEqual(await other.run(row(2)));
    noGrad(() => (model.layers[0] as nn.Linear).weight.mul_(2));
    for (let i = 0; i < 4; i++) expect(await served.run(row(2))).toEqual(await other.run(row(2)));
    const outside = batcher((x: Tensor) => model.forward(x), { capture: true });
    const run = (): Promise<unknown> => autocast({ dtype: 'bfloat16', device }, () => outside.run(row(3)));
    for (let i = 0; i < 4; i++) await run();
    expect(await run()).toEqual(await other.run(row(3)));
    expect(await outside.run(row(3))).not.toEqual((await run()) as never);
    expect(captures(served).reason).toBe(null);
  });
  test('is made again after the precision of products changes', async () => {
    const [served] = both(x => x.mul(2));
    await replayed(served, [[1]]);
    setFloat32MatmulPrecision('high');
    try {
      const { replays } = captures(served);
      await served.run([1]);
      expect(captures(served)).toMatchObject({ captured: 1, replays });
    } finally {
      setFloat32MatmulPrecision('highest');
    }
  });
  test('is made for each size by warmUp()', async () => {
    const model = mlp();
    const served = batcher((x: Tensor) => model.forward(x), { capture: true, maxBatch: 10 });
    await served.warmUp([row(0)], { rounds: 1 });
    // 1, 2, 3, 4, 6, 8 and 10 rows.
    expect(captures(served).captured).toBe(7);
    const { replays } = captures(served);
    await ask(served, rows(5));
    expect(captures(served).replays).toBe(replays + 1);
  });
});

describe('what a graph cannot do is done by calling fn', () => {
  const refused: [string, (x: Tensor, info: { rows: number; shapes: readonly unknown[] }) => unknown, RegExp][] = [
    ['fn that reads a value', x => x.mul(x.sum().itemSync()), /cannot be captured|read/i],
    ['fn that asks for the shape of a result that depends on values', x => x.at(x.gt(-1)).reshape(x.shape), /./],
    ['fn that makes a tensor of numbers', x => x.mul(tensor([2, 2])), /./],
    ['fn that is async', async x => x.mul(2), /async/],
    ['fn that awaits', async x => ((await x.data()).length > 0 ? x.mul(2) : x), /async/],
    ['fn that returns rows of JavaScript', x => Array.from({ length: x.shape[0]! }, () => 1), /no tensor/],
    ['fn that returns a typed array', x => new Float32Array(x.shape[0]!), /no tensor/],
    ['fn that reads the number of rows', (x, info) => x.mul(info.rows), /number or the shapes/],
    ['fn that reads the shapes of rows', (x, { shapes }) => x.mul(shapes.length), /number or the shapes/],
    [
      'fn that captures itself',
      x => (
        memory.stats(),
        x
          .mul(2)
          .sum(-1, { keepdim: true })
          .mul(x.toArraySync() ? 1 : 0)
      ),
      /./,
    ],
  ];
  test.each(refused)('%s', async (_, fn, message) => {
    const [served, other] = both(fn as never);
    for (let i = 0; i < 5; i++)
      expect(
        await ask(served, [
          [1, 2],
          [3, i],
        ]),
      ).toEqual(
        await ask(other, [
          [1, 2],
          [3, i],
        ]),
      );
    const { captured, replays, refused: count, reason } = captures(served);
    expect([captured, replays, count]).toEqual([0, 0, 1]);
    expect(reason).toMatch(message);
    await expect(served.warmUp([[1, 2]])).rejects.toThrow(GraphError);
    await expect(served.warmUp([[1, 2]])).rejects.toThrow(/fn cannot be captured/);
    expect(metrics()).toMatch(new RegExp(`castor_batcher_not_captured{batcher="${served.name}"} [1-9]`));
  });
  test('in a scope whose report lists every op', async () => {
    const model = mlp();
    const served = batcher((x: Tensor) => model.forward(x), { capture: true });
    const report = new AutocastReport();
    await autocast({ dtype: 'bfloat16', device, report }, async () => {
      for (let i = 0; i < 4; i++) await served.run(row(i));
    });
    expect([served.stats().captures!.replays, served.stats().captures!.reason]).toEqual([
      0,
      expect.stringMatching(/report/),
    ]);
  });
  test('and is tried again after train(), eval() or a new part of a model', async () => {
    const model = mlp();
    const served = batcher((x: Tensor) => (model.training ? x.mul(x.sum().itemSync()) : x), { capture: true });
    model.train();
    for (let i = 0; i < 4; i++) await served.run([1]);
    expect(served.stats().captures).toMatchObject({ captured: 0, refused: 1 });
    model.eval();
    await replayed(served as Served, [[1]]);
    expect(served.stats().captures).toMatchObject({ captured: 1, refused: 0 });
  });
  test('capture and concurrency exclude each other', () => {
    expect(() => batcher(x => x, { capture: true, concurrency: 2 })).toThrow(ArgumentError);
    expect(() => batcher(x => x, { capture: 1 as never })).toThrow(ArgumentError);
  });
});

describe('failures', () => {
  test('of one row fail that row alone, with the error of fn', async () => {
    await tidy(async () => {
      const table = nn.Parameter(randn([5, 3]));
      const [served, other] = both(ids => F.embedding(ids, table), { dtype: 'int64' });
      const good = [[0], [1], [2], [4]];
      await replayed(served, good);
      const settled = await Promise.allSettled([[0], [9], [2], [4]].map(ids => served.run(ids as never)));
      expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
      const { reason } = settled[1] as PromiseRejectedResult;
      expect(reason).toBeInstanceOf(IndexError);
      const wanted = await other.run([9] as never).catch((error: Error) => error.message);
      expect((reason as Error).message).toBe(wanted);
      // And the graph goes on.
      const { replays } = captures(served);
      expectClose(await ask(served, good), await ask(other, good));
      expect(captures(served).replays).toBe(replays + 1);
      table.dispose();
    });
  });
  test('of a weight that was freed are the error of fn', async () => {
    const model = mlp();
    const [served] = both(x => model.forward(x));
    await replayed(served, [row(0)]);
    (model.layers[0] as nn.Linear).weight.dispose();
    await expect(served.run(row(0))).rejects.toThrow(/dispose|freed/);
    await expect(served.run(row(0))).rejects.toThrow(/dispose|freed/);
  });
  test('of all that wait: aborted batches leave the next ones right', async () => {
    const model = mlp();
    const [served, other] = both(x => model.forward(x), { maxBatch: 4 });
    await replayed(served, rows(4));
    for (let i = 0; i < 20; i++) {
      const gone = new AbortController();
      const lost = rows(4, i).map(input => served.run(input as never, { signal: gone.signal }).catch(() => null));
      if (i % 2) await new Promise(setImmediate);
      gone.abort();
      expectClose(await ask(served, rows(3, 50 + i)), await ask(other, rows(3, 50 + i)));
      await Promise.all(lost);
    }
  });
});

describe('memory', () => {
  const bytes = (): number => {
    memory.collect();
    const { liveBytes, graphBytes } = memory.stats(device);
    return liveBytes + graphBytes;
  };
  /** The bytes that are left when what earlier tests left was collected. */
  async function live(): Promise<number> {
    let last = Infinity;
    for (let now = bytes(); now < last; now = bytes()) {
      last = now;
      await Bun.sleep(1);
      Bun.gc(true);
    }
    return last;
  }
  test('of graphs is counted, and freed when the batcher closes', async () => {
    const model = mlp();
    const warm = batcher((x: Tensor) => model.forward(x));
    for (let i = 0; i < 3; i++) await ask(warm as Served, rows(4));
    await warm.close();
    const before = await live();
    const served = batcher((x: Tensor) => model.forward(x), { capture: true });
    await replayed(served as Served, rows(4));
    expect(await live()).toBeGreaterThan(before);
    expect(metrics()).toContain(`castor_batcher_captured{batcher="${served.name}"} 1`);
    await served.close();
    expect(await live()).toBeLessThanOrEqual(before);
  });
  test('is freed if close() comes while graphs run', async () => {
    const model = mlp();
    const before = await live();
    const served = batcher((x: Tensor) => model.forward(x), { capture: true, maxBatch: 4 }) as Served;
    await replayed(served, rows(4));
    const gone = new AbortController();
    const lost = rows(4).map(input => served.run(input as never, { signal: gone.signal }).catch(() => null));
    const answered = ask(served, rows(4));
    await new Promise(setImmediate);
    gone.abort();
    const ended = served.close();
    expect((await answered).length).toBe(4);
    await Promise.all([ended, ...lost]);
    free(model);
    await Bun.sleep(0);
    Bun.gc(true);
    expect(await live()).toBeLessThanOrEqual(before);
  });
  test('is bounded: of shapes that clients choose, the ones used longest ago are forgotten', async () => {
    const served = batcher((x: Tensor) => x.mul(2), { capture: true });
    for (let length = 1; length <= 150; length++)
      for (let i = 0; i < 3; i++) await served.run(new Float32Array(length));
    expect(served.stats().captures!.captured).toBe(128);
    const before = await live();
    for (let length = 151; length <= 180; length++)
      for (let i = 0; i < 3; i++) await served.run(new Float32Array(length));
    expect((await live()) - before).toBeLessThan(2 ** 20);
    await served.close();
  });
});
