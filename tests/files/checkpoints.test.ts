import { afterEach, describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  CheckpointError,
  Generator,
  GradScaler,
  io,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  tidy,
  zeros,
  type CastorError,
  type Tensor,
} from 'castor';
import { runInNewContext } from 'node:vm';
import { place, useFolder } from './place.ts';

/**
 * A checkpoint restores exactly what was saved, and one that cannot be loaded is refused before anything has changed.
 */

useFolder();
class Net extends nn.Module {
  body = new nn.Linear(2, 2);
  head = new nn.Linear(2, 2);
  last: Tensor | null = null;
  forward(x: Tensor): Tensor {
    return (this.last = this.head.forward(this.body.forward(x)));
  }
}
type Choice = (model: Net) => ConstructorParameters<typeof optim.Adam>[0];
interface Run {
  model: Net;
  optimizer: optim.Optimizer<any>;
  scaler: GradScaler;
  generators: { data: Generator };
}
const runs: Run[] = [];
const all: Choice = model => model.parameters();
function start(choice: Choice = all, make = (p: ReturnType<Choice>): optim.Optimizer<any> => new optim.Adam(p)): Run {
  const model = new Net();
  const run = {
    model,
    optimizer: make(choice(model)),
    scaler: new GradScaler(),
    generators: { data: new Generator(1) },
  };
  runs.push(run);
  return run;
}
function step({ model, optimizer }: Run): void {
  tidy(() => {
    optimizer.zeroGrad();
    model
      .forward(ones([1, 2]))
      .square()
      .sum()
      .backward();
    optimizer.step();
    model.last = null;
  });
}
const stateOf = ({ model, optimizer, scaler, generators }: Run): string =>
  JSON.stringify([
    [...model.stateDict()].map(([name, t]) => [name, t.toArraySync()]),
    optimizer.paramGroups.map(({ params: _, ...settings }) => settings),
    optimizer.stateDict().state.map(own => own && Object.entries(own).map(([name, t]) => [name, t.toArraySync()])),
    scaler.stateDict(),
    generators.data.state(),
  ]);
afterEach(() => {
  for (const { model, optimizer } of runs.splice(0)) {
    optimizer.zeroGrad();
    for (const own of optimizer.stateDict().state) for (const t of Object.values(own ?? {})) t.dispose();
    for (const p of model.parameters()) {
      p.grad?.dispose();
      p.dispose();
    }
  }
});
async function failure(work: Promise<unknown>): Promise<CastorError> {
  const error = await work.then(
    () => null,
    (caught: unknown) => caught,
  );
  expect(error).not.toBeNull();
  return error as CastorError;
}
/** Checks that loading fails with this message, and that nothing has changed. */
async function refused(path: string, run: Run, message: RegExp): Promise<void> {
  const before = stateOf(run);
  const error = await failure(io.loadCheckpoint(path, run));
  expect(error).toBeInstanceOf(CheckpointError);
  expect(error.message).toMatch(message);
  expect(stateOf(run)).toBe(before);
}
/** Writes a checkpoint again with a change in it. */
const rewrite = (path: string, change: (state: any, tensors: Map<string, Tensor>) => void): Promise<void> =>
  tidy(async () => {
    const { tensors, metadata } = await io.loadTensors(path);
    const state = JSON.parse(metadata['castor.checkpoint']!);
    change(state, tensors);
    await io.saveTensors(path, tensors, { 'castor.checkpoint': JSON.stringify(state) });
  });
const saved = async (run = start(), path = place('saved')): Promise<string> => {
  step(run);
  await io.saveCheckpoint(path, { ...run, step: 1 });
  return path;
};

describe('what is saved comes back the same, or is refused:', () => {
  const extras: [string, unknown][] = [
    ['nested values', { a: [1, 'x', true, null, { b: [] }], '': {}, 'a.b': 0.1 }],
    ['numbers at the ends', [-0, 0, 5e-324, 1.7976931348623157e308, -1e21, 2 ** 53]],
    ['texts of every kind', ['', '"\\\n\u0000\u2028', '\ud800', '\u{1f600}', '__proto__']],
    ['an object with the key __proto__', JSON.parse('{"__proto__":{"a":1}}')],
    ['null', null],
  ];
  test.each(extras)('%s', async (_, extra) => {
    const run = start();
    await io.saveCheckpoint(place('extra'), { ...run, step: 0, extra });
    const loaded = await io.loadCheckpoint(place('extra'), run);
    expect(loaded).toStrictEqual({ step: 0, extra });
  });
  test('an object of another realm', async () => {
    const extra: unknown = runInNewContext('({ a: [1, { b: 2 }] })');
    const run = start();
    await io.saveCheckpoint(place('extra'), { ...run, step: 0, extra });
    expect((await io.loadCheckpoint(place('extra'), run)).extra).toEqual({ a: [1, { b: 2 }] });
  });
  test('no extra', async () => {
    const run = start();
    await io.saveCheckpoint(place('extra'), { ...run, step: 2 ** 53 - 1, extra: undefined });
    expect(await io.loadCheckpoint(place('extra'), run)).toStrictEqual({ step: 2 ** 53 - 1 });
  });
  const circle: unknown[] = [];
  circle.push({ circle });
  const nested = (levels: number): unknown => {
    let value: unknown = 1;
    for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { value };
    return value;
  };
  test('500 levels', async () => {
    const run = start();
    await io.saveCheckpoint(place('extra'), { ...run, step: 0, extra: nested(500) });
    expect((await io.loadCheckpoint(place('extra'), run)).extra).toEqual(nested(500));
  });
  const wrong: [string, unknown, RegExp][] = [
    ['NaN', { loss: NaN }, /extra\.loss is NaN/],
    ['an infinity', [1, Infinity], /extra\[1\] is Infinity/],
    ['undefined in an array', [undefined], /extra\[0\] is undefined/],
    ['a hole', [, 1], /extra\[0\] is undefined/], // eslint-disable-line no-sparse-arrays
    ['a function', { f: () => 1 }, /extra\.f is a function/],
    ['a bigint', 1n, /extra is a bigint/],
    ['a symbol', { s: Symbol('x') }, /extra\.s is a symbol/],
    ['a key that is a symbol', { [Symbol('x')]: 1 }, /extra has a symbol as a key/],
    ['a date', new Date(0), /extra is a Date/],
    ['a Map', { m: new Map() }, /extra\.m is a Map/],
    ['a typed array', new Float32Array(2), /extra is a Float32Array/],
    ['a circle', circle, /extra\[0\]\.circle contains itself/],
    ['501 levels', nested(501), /nested more than 500 deep/],
  ];
  test.each(wrong)('%s in extra is refused', async (_, extra, message) => {
    const path = await saved();
    const error = await failure(io.saveCheckpoint(path, { ...runs[0]!, step: 2, extra }));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error.message).toMatch(message);
    expect((await io.loadCheckpoint(path, runs[0]!)).step).toBe(1);
  });
  test.each([NaN, Infinity, -1, 1.5, 2 ** 53, '3', null, undefined, 3n])('step %p is refused', async step => {
    const error = await failure(io.saveCheckpoint(place('never'), { ...start(), step: step as number }));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error.message).toMatch(/step .* is not an integer >= 0/);
  });
  test('settings of the optimizer that make no sense are refused', async () => {
    for (const [settings, message] of [
      [{ lr: Infinity }, /lr Infinity is not a finite number/],
      [{ lr: NaN }, /lr NaN is not a finite number/],
      [{ mine: NaN }, /optimizer\.groups\[0\]\.mine is NaN/],
      [{ mine: () => 1 }, /mine is a function/],
    ] as const) {
      const run = start();
      Object.assign(run.optimizer.paramGroups[0]!, settings);
      expect((await failure(io.saveCheckpoint(place('never'), { ...run, step: 1 }))).message).toMatch(message);
      run.optimizer.paramGroups[0]!.lr = 1;
    }
  });
  test('settings of the user in a group come back', async () => {
    const run = start();
    Object.assign(run.optimizer.paramGroups[0]!, { name: 'decayed', lr: 0.5, betas: [0.5, 0.25] });
    const path = await saved(run);
    const again = start();
    await io.loadCheckpoint(path, again);
    expect(again.optimizer.paramGroups[0]).toMatchObject({ name: 'decayed', lr: 0.5, betas: [0.5, 0.25] });
  });
  test('parts that are something else are refused', async () => {
    const run = start();
    for (const parts of [
      null,
      {},
      { model: 3 },
      { ...run, optimizer: {} },
      { ...run, scaler: null },
      { ...run, generators: { a: 1 } },
      { ...run, generators: 7 },
    ])
      for (const work of [
        io.saveCheckpoint(place('never'), { ...(parts as object), step: 1 } as never),
        io.loadCheckpoint(place('never'), parts as never),
      ])
        expect(await failure(work)).toBeInstanceOf(ArgumentError);
  });
  test('weights that change while they are saved are an error, and the old file stays', async () => {
    const run = start();
    const path = await saved(run);
    const saving = io.saveCheckpoint(path, { ...run, step: 2 });
    step(run);
    expect((await failure(saving)).message).toMatch(/'(model|optimizer)\..*' was written to while it was saved/);
    expect((await io.loadCheckpoint(path, run)).step).toBe(1);
  });
});

describe('the state of an optimizer goes by the names of its parameters', () => {
  const groups: Choice = model => [
    { params: model.body.parameters(), lr: 0.1 },
    { params: model.head.parameters(), lr: 0.2 },
  ];
  test('whatever their order', async () => {
    manualSeed(4);
    const first = start();
    const path = await saved(first);
    const second = start(model => [...model.parameters()].toReversed());
    await io.loadCheckpoint(path, second);
    const sums = (run: Run): Map<Tensor, number> =>
      new Map(
        [...run.optimizer.parameters()].map((p, i) => [
          p,
          run.optimizer.stateDict().state[i]!.expAvg!.sum().itemSync(),
        ]),
      );
    const [before, after] = [sums(first), sums(second)];
    for (const name of ['body', 'head'] as const)
      expect(after.get(second.model[name].weight)).toBe(before.get(first.model[name].weight)!);
    expect(before.get(first.model.body.weight)).not.toBe(before.get(first.model.head.weight)!);
  });
  test('also when parts of the model were given', async () => {
    const path = await saved(start(model => model.head.parameters()));
    await io.loadCheckpoint(
      path,
      start(model => model.head.namedParameters()),
    );
    await refused(
      path,
      start(model => model.body.parameters()),
      /state of body\.weight is missing.*head\.weight is not in the optimizer/,
    );
  });
  const others: [string, Choice, RegExp][] = [
    ['fewer parameters', model => model.head.parameters(), /body\.weight is not in the optimizer/],
    ['other groups', groups, /saved with 1 parameter groups, the optimizer has 2/],
    [
      'more parameters',
      model => [...model.parameters(), new nn.Linear(1, 1, { bias: false }).weight],
      /saved with 4 parameters|state of .* is missing/,
    ],
  ];
  test.each(others)('and %s are another optimizer', async (_, choice, message) => {
    const run = start(choice);
    await refused(await saved(), run, message);
    for (const p of run.optimizer.parameters()) p.dispose();
    runs.pop();
  });
  test('and a parameter that moved to another group is named', async () => {
    const path = await saved(start(groups));
    await refused(
      path,
      start(model => [{ params: model.head.parameters() }, { params: model.body.parameters() }]),
      /body\.weight was in group 0, now it is in group 1/,
    );
    await io.loadCheckpoint(path, start(groups));
  });
  test('and another class of optimizer is refused', async () => {
    const path = await saved();
    await refused(
      path,
      start(all, p => new optim.AdamW(p as never)),
      /saved with Adam, not AdamW/,
    );
    await refused(
      path,
      start(all, p => new optim.SGD(p as never)),
      /saved with Adam, not SGD/,
    );
  });
  test('and frozen parameters have none, until they are thawed', async () => {
    const first = start();
    first.model.body.requiresGrad_(false);
    const path = await saved(first);
    const second = start();
    await io.loadCheckpoint(path, second);
    expect(second.optimizer.stateDict().state.map(own => own !== null)).toEqual([false, false, true, true]);
    step(second);
    expect(second.optimizer.stateDict().state.every(own => own !== null)).toBe(true);
  });
});

describe('everything is checked before anything is written:', () => {
  const changes: [string, (state: any, tensors: Map<string, Tensor>) => void, RegExp][] = [
    [
      'a scaler of nonsense',
      state => (state.scaler.growthInterval = -200),
      /gradient scaler that cannot be loaded: .*growthInterval/,
    ],
    ['a scaler without a field', state => delete state.scaler.scale, /gradient scaler that cannot be loaded/],
    ['no scaler', state => (state.scaler = null), /without a gradient scaler/],
    ['a generator of nonsense', state => (state.generators.data.seed = -1), /generator data has no seed and offset/],
    ['a generator without offset', state => delete state.generators.data.offset, /generator data has no seed/],
    ['no generator', state => (state.generators = { toString: 1 }), /generator data is missing/],
    [
      'a learning rate below 0',
      state => (state.optimizer.groups[0].lr = -1),
      /group 0: .*lr -1 is not a finite number >= 0/,
    ],
    ['a learning rate that is a text', state => (state.optimizer.groups[0].lr = '1'), /group 0: .*lr '1'/],
    ['no learning rate', state => delete state.optimizer.groups[0].lr, /group 0 has no lr/],
    ['three betas', state => state.optimizer.groups[0].betas.push(0.5), /group 0: .*betas/],
    [
      'a setting __proto__',
      state => Object.defineProperty(state.optimizer.groups[0], '__proto__', { value: { lr: 1 }, enumerable: true }),
      /setting '__proto__'/,
    ],
    [
      'a name of a parameter less',
      state => state.optimizer.groups[0].params.pop(),
      /belongs to no parameter|is missing/,
    ],
    [
      'a name twice',
      state => (state.optimizer.groups[0].params[1] = 'body.weight'),
      /parameter 1 was body\.weight, now it is body\.bias/,
    ],
    ['groups that are none', state => (state.optimizer.groups = { length: 1 }), /is not a checkpoint/],
    ['no names', state => delete state.optimizer.groups[0].params, /is not a checkpoint/],
    ['a step of 1.5', state => (state.step = 1.5), /is not a checkpoint/],
    ['another version', state => (state.version = 3), /checkpoint of version 3, this is version 2/],
    ['a tensor less of the model', (_, tensors) => tensors.delete('model.head.bias'), /head\.bias is missing/],
    ['a tensor more', (_, tensors) => tensors.set('model.extra', ones([1])), /extra is not part of the model/],
    ['a tensor of nobody', (_, tensors) => tensors.set('lost', ones([1])), /lost belongs to no parameter/],
    [
      'a state of nobody',
      (_, tensors) => tensors.set('optimizer.9.step', ones([])),
      /optimizer\.9\.step belongs to no parameter/,
    ],
    ['half a state', (_, tensors) => tensors.delete('optimizer.3.expAvgSq'), /expAvgSq of head\.bias is missing/],
    [
      'an unknown state',
      (_, tensors) => tensors.set('optimizer.3.momentum', ones([2])),
      /momentum of head\.bias is not a state that the optimizer has/,
    ],
    [
      'a state of another shape',
      (_, tensors) => tensors.set('optimizer.3.expAvg', ones([3])),
      /expAvg of head\.bias has shape \[3\]/,
    ],
    [
      'a step that is no number',
      (_, tensors) => tensors.set('optimizer.3.step', ones([1])),
      /step of head\.bias is not one float32/,
    ],
    [
      'a weight of another dtype',
      (_, tensors) => tensors.set('model.head.bias', zeros([2], { dtype: 'float64' })),
      /head\.bias is float64, the model float32/,
    ],
  ];
  test.each(changes)('%s', async (_, change, message) => {
    const path = await saved();
    await rewrite(path, change);
    const run = start();
    step(run);
    await refused(path, run, message);
  });
  test('all that does not fit is told', async () => {
    const path = await saved();
    await rewrite(path, (state, tensors) => {
      for (const name of [...tensors.keys()].filter(name => name.startsWith('model.'))) tensors.delete(name);
      state.generators = {};
      state.optimizer.groups[0].lr = -1;
    });
    const error = (await failure(io.loadCheckpoint(path, start()))) as CheckpointError;
    expect(error.problems).toHaveLength(6);
    expect(error.message).toContain('; and 1 more');
  });
});

describe('a large model', () => {
  test('is loaded in parts, between which the event loop has its turns', async () => {
    const make = (): nn.Linear => new nn.Linear(2048, 3000);
    const [first, second] = [make(), make()];
    await io.saveCheckpoint(place('large'), { model: first, step: 1 });
    let [turns, over] = [0, false];
    const count = (): void => void (turns++, over || setImmediate(count));
    count();
    await io.loadCheckpoint(place('large'), { model: second });
    over = true;
    const megabytes = (2048 * 3000 * 4) / 2 ** 20;
    expect(turns).toBeGreaterThanOrEqual(Math.floor(megabytes / 4) + Math.floor(megabytes / 8));
    for (const name of ['weight', 'bias'] as const) {
      const [a, b] = [first[name]!, second[name]!];
      expect(Buffer.compare(Buffer.from(a.dataSync().buffer), Buffer.from(b.dataSync().buffer))).toBe(0);
      a.dispose();
      b.dispose();
    }
  });
});

describe('two checkpoints that are loaded at the same time', () => {
  test('are not mixed', async () => {
    const model = new nn.Sequential(new nn.Linear(2048, 2048), new nn.Linear(2048, 2048));
    const fill = (value: number): void => noGrad(() => [...model.parameters()].forEach(p => p.fill_(value)));
    for (const value of [1, 2]) {
      fill(value);
      await io.saveCheckpoint(place(`mixed ${value}`), { model, step: value });
    }
    fill(0);
    await Promise.all([1, 2, 1, 2].map(value => io.loadCheckpoint(place(`mixed ${value}`), { model })));
    const values = tidy(() => [...model.parameters()].flatMap(p => [p.min().itemSync(), p.max().itemSync()]));
    expect(new Set(values).size).toBe(1);
    for (const p of model.parameters()) p.dispose();
  });
});

describe('other files', () => {
  test('of the version before names load by the places of parameters', async () => {
    const first = start();
    const path = await saved(first);
    await rewrite(path, state => {
      delete state.version;
      for (const group of state.optimizer.groups) {
        delete group.params;
        group.decoupled = false;
      }
    });
    const second = start();
    await io.loadCheckpoint(path, second);
    step(first);
    step(second);
    expect(JSON.parse(stateOf(second))[2]).toEqual(JSON.parse(stateOf(first))[2]);
    await refused(
      path,
      start(model => model.head.parameters()),
      /optimizer\.2\..* belongs to no parameter/,
    );
  });
  test('of that version had no frozen parameters in the optimizer', async () => {
    const first = start(model => model.head.parameters());
    const path = await saved(first);
    await rewrite(path, state => {
      delete state.version;
      for (const group of state.optimizer.groups) delete group.params;
    });
    const second = start();
    second.model.body.requiresGrad_(false);
    await io.loadCheckpoint(path, second);
    const sums = (run: Run): unknown[] =>
      run.optimizer.stateDict().state.map(own => own?.expAvg!.toArraySync() ?? null);
    expect(sums(second)).toEqual([null, null, ...sums(first)]);
  });
  test('hold a shared tensor once, and load into models that share it', async () => {
    class Tied extends nn.Module {
      a = new nn.Linear(2, 2, { bias: false });
      b = this.a;
      forward(): void {}
    }
    const [first, second] = [new Tied(), new Tied()];
    await io.saveCheckpoint(place('tied'), { model: first, step: 1 });
    await io.loadCheckpoint(place('tied'), { model: second });
    expect(second.b.weight.toArraySync()).toEqual(first.a.weight.toArraySync());
    await tidy(async () =>
      expect([...(await io.loadTensors(place('tied'))).tensors.keys()]).toEqual(['model.a.weight']),
    );
    for (const { a } of [first, second]) a.weight.dispose();
  });
});
