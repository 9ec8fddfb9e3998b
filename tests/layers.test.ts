import { afterEach, describe, expect, test } from 'bun:test';
import { ArgumentError, F, manualSeed, nn, noGrad, ones, ShapeError, tidy, type Tensor } from 'castor';
import { load, toTensor, type StoredTensor } from './golden/load.ts';
import { devices } from './setup.ts';

/** Layers with options, compared with PyTorch's, and their initial values. */

interface Row {
  layer: 'Conv2d' | 'BatchNorm2d' | 'LayerNorm' | 'RMSNorm' | 'MaxPool2d' | 'Linear' | 'Embedding';
  args: unknown[];
  options: Record<string, unknown>;
  state: Record<string, StoredTensor>;
  x: StoredTensor;
  outputs: StoredTensor[];
}
interface Initial extends Pick<Row, 'layer'> {
  sizes: number[];
  groups: number;
  moments: Record<string, { shape: number[]; mean: number; std: number; largest: number }>;
}
const rows = load<Row | Initial>('layers');
const cases = rows.filter((row): row is Row => 'x' in row);
const initials = rows.filter((row): row is Initial => 'moments' in row);

const models: nn.Module[] = [];
function made<M extends nn.Module>(model: M): M {
  models.push(model);
  return model;
}
/** Runs without recording, because tensors saved in a graph would live until they are collected. */
const quietly = (fn: () => void): void => noGrad(() => tidy(fn));
afterEach(() => {
  for (const model of models.splice(0)) for (const [, t] of model.namedTensors()) t.dispose();
});
const renamed: Record<string, string> = {
  elementwise_affine: 'affine',
  track_running_stats: 'trackRunningStats',
  running_mean: 'runningMean',
  running_var: 'runningVar',
};
const camel = <T>(values: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [renamed[name] ?? name, value]));
const make = (
  layer: Row['layer'],
  args: readonly unknown[],
  options: object,
): nn.Module & { forward(x: Tensor): Tensor } => made(new (nn[layer] as new (...args: any[]) => any)(...args, options));

describe('as PyTorch computes it:', () => {
  const named = cases.map(
    row => [`${row.layer}(${JSON.stringify(row.args)}, ${JSON.stringify(row.options)})`, row] as const,
  );
  test.each(named)('%s', (_, { layer, args, options, state, x, outputs }) => {
    for (const device of devices)
      quietly(() => {
        const pool = layer === 'MaxPool2d';
        const model = make(layer, args, { ...camel(options), ...(pool ? {} : { dtype: 'float64', device }) });
        expect([...model.namedParameters()].map(([name, { shape }]) => [name, shape])).toEqual(
          Object.entries(state).map(([name, { shape }]) => [name, shape]),
        );
        const buffers = [...model.buffers()];
        model.loadStateDict(
          new Map(
            [...model.namedTensors()].map(([name, t]) => [name, state[name] ? toTensor(state[name], device) : t]),
          ),
        );
        const input = toTensor(x, device);
        const found = [model.forward(input)];
        if (layer === 'BatchNorm2d')
          found.push(model.forward(input.mul(2).add(1)), ...buffers.map(t => t.clone()), model.eval().forward(input));
        expect(found).toHaveLength(outputs.length);
        found.forEach((t, i) => expect(t).toBeAllclose(toTensor(outputs[i]!, device), { atol: 1e-7, rtol: 1e-7 }));
      });
  });
});

describe('starts as PyTorch does:', () => {
  test.each(initials.map(row => [`${row.layer} ${row.sizes}, groups ${row.groups}`, row] as const))('%s', (_, row) => {
    manualSeed(7);
    quietly(() => {
      const model = make(row.layer, row.sizes, row.groups === 1 ? {} : { groups: row.groups });
      const moments = camel(row.moments);
      expect([...model.stateDict().keys()].toSorted()).toEqual(Object.keys(moments).toSorted());
      for (const [name, t] of model.stateDict()) {
        const { shape, mean, std, largest } = moments[name]!;
        expect(t.shape).toEqual(shape);
        const values = t.double();
        // The standard error of a mean over n draws is std / sqrt(n), that of a standard deviation is not larger.
        const close = (6 * std) / Math.sqrt(t.numel);
        expect(Math.abs(values.mean().itemSync() - mean)).toBeLessThanOrEqual(2 * close);
        expect(Math.abs(values.std().itemSync() - std)).toBeLessThanOrEqual(2 * close);
        // The largest of few uniform numbers, or of many normal ones, differs from run to run.
        const share = row.layer === 'Embedding' ? 0.3 : 0.15;
        expect(Math.abs(values.abs().max().itemSync() - largest)).toBeLessThanOrEqual(share * largest);
      }
    });
  });
  test('uniform numbers fill their bounds and do not leave them', () => {
    manualSeed(8);
    quietly(() => {
      for (const [model, fanIn] of [
        [made(new nn.Linear(64, 500)), 64],
        [made(new nn.Conv2d(8, 64, [3, 2], { groups: 2 })), 4 * 6],
      ] as const)
        for (const p of model.parameters()) {
          const bound = Math.fround(1 / Math.sqrt(fanIn));
          const largest = p.abs().max().itemSync();
          expect(largest).toBeLessThanOrEqual(bound);
          expect(largest).toBeGreaterThan(0.9 * bound);
          expect(p.min().itemSync()).toBeLessThan(-0.8 * bound);
        }
    });
  });
  test('a layer without inputs is empty, and its bias 0', () => {
    const layer = made(new nn.Linear(0, 3));
    expect([layer.weight.shape, layer.bias!.toArraySync()]).toEqual([
      [3, 0],
      [0, 0, 0],
    ]);
    const none = made(new nn.Linear(3, 0));
    expect([none.weight.shape, none.bias!.shape]).toEqual([[0, 3], [0]]);
  });
});

describe('options', () => {
  test('that are undefined are the defaults', () => {
    quietly(() => {
      const none = {
        dtype: undefined,
        device: undefined,
        bias: undefined,
        eps: undefined,
        momentum: undefined,
        affine: undefined,
      };
      const conv = { stride: undefined, padding: undefined, dilation: undefined, groups: undefined, bias: undefined };
      const pairs: [nn.Module, nn.Module][] = [
        [new nn.Linear(2, 2), new nn.Linear(2, 2, { dtype: undefined, bias: undefined })],
        [new nn.Conv2d(2, 2, 2), new nn.Conv2d(2, 2, 2, conv)],
        [
          new nn.BatchNorm2d(2),
          new nn.BatchNorm2d(2, {
            eps: undefined,
            momentum: undefined,
            affine: undefined,
            trackRunningStats: undefined,
          }),
        ],
        [new nn.LayerNorm(2), new nn.LayerNorm(2, { eps: none.eps, affine: none.affine, bias: none.bias })],
        [new nn.RMSNorm(2), new nn.RMSNorm(2, { eps: none.eps, affine: none.affine })],
        [new nn.Dropout(), new nn.Dropout(undefined)],
        [new nn.GELU(), new nn.GELU({ approximate: undefined })],
        [new nn.MaxPool2d(2), new nn.MaxPool2d(2, { stride: undefined, padding: undefined })],
        [new nn.MSELoss(), new nn.MSELoss({ reduction: undefined })],
      ] as never;
      for (const [plain, given] of pairs) {
        for (const model of [plain, given]) made(model);
        const shown = (model: nn.Module): unknown => [
          [...model.namedTensors()].map(([name, t]) => [name, t.shape, t.dtype]),
          ...Object.entries(model).filter(([, value]) => typeof value === 'number'),
        ];
        expect(shown(given)).toEqual(shown(plain));
      }
      expect(new nn.MSELoss({ reduction: undefined as never }).forward(ones([2]), ones([2])).shape).toEqual([]);
    });
  });
  const wrong: [string, () => unknown, RegExp][] = [
    ['a size below 0', () => new nn.Linear(-1, 2), /inFeatures -1 is not an integer >= 0/],
    ['a size that is no whole number', () => new nn.Embedding(2.5, 2), /numEmbeddings 2\.5/],
    ['no channels', () => new nn.BatchNorm2d(0), /channels 0/],
    [
      'groups that do not divide the inputs',
      () => new nn.Conv2d(4, 6, 3, { groups: 3 }),
      /4 channels in and 6 out do not form 3 groups/,
    ],
    ['groups that do not divide the outputs', () => new nn.Conv2d(4, 6, 3, { groups: 4 }), /do not form 4 groups/],
    ['no groups', () => new nn.Conv2d(4, 6, 3, { groups: 0 }), /groups 0/],
    ['a stride of 0', () => new nn.Conv2d(4, 6, 3, { stride: 0 }), /stride 0/],
    ['a padding below 0', () => new nn.Conv2d(4, 6, 3, { padding: [0, -1] }), /padding \[0, ?-1\]/],
    ['a dilation of 1.5', () => new nn.Conv2d(4, 6, 3, { dilation: 1.5 }), /dilation 1\.5/],
    ['an eps below 0', () => new nn.LayerNorm(2, { eps: -1 }), /eps -1/],
    ['an eps that is NaN', () => new nn.RMSNorm(2, { eps: NaN }), /eps NaN/],
    ['a momentum above 1', () => new nn.BatchNorm2d(2, { momentum: 1.5 }), /momentum 1\.5/],
    ['a probability above 1', () => new nn.Dropout(1.5), /p 1\.5/],
    ['a probability that is NaN', () => new nn.Dropout(NaN), /p NaN/],
  ];
  test.each(wrong)('%s is refused', (_, call, message) => {
    expect(call).toThrow(ArgumentError);
    expect(call).toThrow(message);
  });
  test('are taken at their limits', () => {
    const layers = [
      new nn.Conv2d(1, 1, 1, { groups: 1, padding: 0, stride: 1, dilation: 1 }),
      new nn.Conv2d(2, 2, 1, { groups: 2 }),
      new nn.Embedding(0, 0),
      new nn.BatchNorm2d(1, { eps: 0, momentum: 0 }),
      new nn.BatchNorm2d(1, { momentum: 1 }),
      new nn.LayerNorm(1, { eps: 0 }),
      new nn.RMSNorm([1], { eps: 0 }),
      new nn.Dropout(0),
      new nn.Dropout(1),
    ];
    for (const layer of layers) made(layer);
    expect(layers.map(layer => [...layer.parameters()].map(({ shape }) => shape))).toEqual([
      [[1, 1, 1, 1], [1]],
      [[2, 1, 1, 1], [2]],
      [[0, 0]],
      [[1], [1]],
      [[1], [1]],
      [[1], [1]],
      [[1]],
      [],
      [],
    ]);
  });
  test('BatchNorm2d takes images only', () => {
    const layer = made(new nn.BatchNorm2d(2));
    for (const shape of [
      [4, 2],
      [2, 2, 2],
      [1, 2, 3, 4, 5],
    ])
      quietly(() => expect(() => layer.forward(ones(shape))).toThrow(ShapeError));
  });
  test('RMSNorm without eps is as F.rmsNorm without eps', () =>
    quietly(() => {
      const x = ones([2, 3]).mul(1e-3);
      expect(made(new nn.RMSNorm(3)).forward(x).toArraySync()).toEqual(F.rmsNorm(x, [3]).toArraySync());
    }));
});
