import { afterEach, describe, expect, test } from 'bun:test';
import { ArgumentError, CheckpointError, graph, nn, ones, optim, tensor, tidy, zeros, type Tensor } from 'castor';

/**
 * The parameters and settings that optimizers accept, when they check them, and how their state is matched with
 * parameters.
 */

const used: optim.Optimizer<any>[] = [];
function track<O extends optim.Optimizer<any>>(optimizer: O): O {
  used.push(optimizer);
  return optimizer;
}
afterEach(() => {
  for (const optimizer of used.splice(0)) {
    const state = [...optimizer.paramGroups].flatMap(({ params }) => params as Tensor[]);
    for (const group of optimizer.paramGroups)
      Object.assign(group, {
        lr: 1,
        betas: [0, 0],
        momentum: 0,
        dampening: 0,
        nesterov: false,
        eps: 1,
        weightDecay: 0,
        amsgrad: false,
        maximize: false,
      });
    for (const own of optimizer.stateDict().state) for (const t of Object.values(own ?? {})) t.dispose();
    for (const p of state) {
      p.grad?.dispose();
      if (!p.disposed) p.dispose();
    }
  }
});
const any = (value: unknown): any => value;
const leaf = (value = 1): Tensor => nn.Parameter(tensor([value]));
const withGrad = (p: Tensor, value = 1): Tensor => {
  p.grad?.dispose();
  p.grad = tensor([value]);
  return p;
};
const refused = (call: () => unknown, message: RegExp): void => {
  expect(call).toThrow(ArgumentError);
  expect(call).toThrow(message);
};

describe('settings', () => {
  const classes = { SGD: optim.SGD, Adam: optim.Adam, AdamW: optim.AdamW };
  const numbers = {
    SGD: ['lr', 'momentum', 'dampening', 'weightDecay'],
    Adam: ['lr', 'eps', 'weightDecay'],
    AdamW: ['lr', 'eps', 'weightDecay'],
  };
  const flags = { SGD: ['nesterov', 'maximize'], Adam: ['amsgrad', 'maximize'], AdamW: ['amsgrad', 'maximize'] };
  const wrong = [
    ...Object.entries(numbers).flatMap(([kind, names]) =>
      names.flatMap(name =>
        [-1, NaN, Infinity, '0.1', null, true, [0.1], {}].map(value => [kind, name, value] as const),
      ),
    ),
    ...Object.entries(flags).flatMap(([kind, names]) =>
      names.flatMap(name => [0, 1, 'true', null].map(value => [kind, name, value] as const)),
    ),
    ...['Adam', 'AdamW'].flatMap(kind =>
      [0.9, [0.9], [0.9, 1], [-0.1, 0.9], [0.9, NaN], [0.9, 0.9, 0.9], ['0', '0'], null].map(
        value => [kind, 'betas', value] as const,
      ),
    ),
  ] as [keyof typeof classes, string, unknown][];
  test('that make no sense are refused at construction, in a group, and when they are changed later', () => {
    for (const [kind, name, value] of wrong) {
      const make = classes[kind];
      const p = withGrad(leaf());
      refused(() => new make([p], { [name]: value }), new RegExp(`^${kind}: ${name} .* is not (a|true) .*\\. `));
      refused(() => new make([any({ params: [p], [name]: value })]), new RegExp(`^${kind}: ${name} `));
      const [first, optimizer] = [withGrad(leaf()), track(new make([p]))];
      const two = track(new make([{ params: [first] }, { params: [withGrad(leaf())] }]));
      for (const changed of [optimizer.paramGroups[0]!, two.paramGroups[1]!]) any(changed)[name] = value;
      refused(() => optimizer.step(), new RegExp(`^${kind}: ${name} `));
      refused(() => two.step(), new RegExp(`^${kind}: ${name} `));
      expect([p.itemSync(), first.itemSync()]).toEqual([1, 1]);
    }
  });
  test('that are undefined are the defaults, everywhere', () => {
    const options = {
      lr: undefined,
      betas: undefined,
      eps: undefined,
      weightDecay: undefined,
      momentum: undefined,
      nesterov: undefined,
    };
    const results = (['SGD', 'Adam', 'AdamW'] as const).map(kind => {
      const known = [...numbers[kind], ...flags[kind], ...(kind === 'SGD' ? [] : ['betas'])];
      const none = Object.fromEntries(known.map(name => [name, undefined]));
      return [{}, none].map(each => {
        const [a, b, c] = [withGrad(leaf()), withGrad(leaf()), withGrad(leaf())];
        const first = track(new classes[kind]([a], each));
        const second = track(new classes[kind]([any({ params: [b], ...each })], { lr: 0.125 }));
        const third = track(new classes[kind]([c], { lr: 0.125 }));
        Object.assign(third.paramGroups[0]!, each, options);
        for (const optimizer of [first, second, third]) optimizer.step();
        return [a, b, c].map(p => p.itemSync());
      });
    });
    for (const [plain, none] of results) {
      expect(none).toEqual(plain!);
      expect(none!.every(value => value < 1)).toBe(true);
    }
  });
  test('that have another name are refused, with the right one', () => {
    const p = leaf();
    refused(() => new optim.SGD([p], any({ learningRate: 1 })), /no option 'learningRate'\. Did you mean 'lr'\?/);
    refused(
      () => new optim.AdamW([p], any({ weight_decay: 1 })),
      /no option 'weight_decay'\. Did you mean 'weightDecay'\?/,
    );
    refused(() => new optim.Adam([p], any({ decoupled: true })), /no option 'decoupled'/);
    for (const options of [null, 'x', [0.1], true])
      refused(() => new optim.SGD([p], any(options)), /options is .*Pass an object, such as \{ lr: 0\.1 \}/);
    p.dispose();
  });
  test('of one group are looked at together', () => {
    const p = withGrad(leaf());
    refused(() => new optim.SGD([{ params: [p], nesterov: true }], { momentum: 0 }), /nesterov needs a momentum/);
    const optimizer = track(new optim.SGD([p], { momentum: 0.5, nesterov: true }));
    optimizer.paramGroups[0]!.dampening = 0.5;
    refused(() => optimizer.step(), /nesterov needs a momentum and no dampening/);
    expect(p.itemSync()).toBe(1);
  });
});

describe('parameters', () => {
  test('may be given as list, names, groups, one tensor in a group, or iterator', () => {
    const [a, b] = [leaf(), leaf()];
    const pairs: [string, Tensor][] = [
      ['a', a],
      ['b', b],
    ];
    const forms = [
      [a, b],
      new Set([a, b]),
      pairs,
      new Map(pairs),
      [a, b].values(),
      [{ params: a }, { params: [['b', b]] }],
      [{ params: [a] }, { params: [] }, { params: new Set([b]) }],
    ];
    for (const form of forms) expect([...new optim.SGD(any(form)).parameters()]).toEqual([a, b]);
    expect(new optim.SGD(pairs).nameOf(b)).toBe('b');
    for (const p of [a, b]) p.dispose();
  });
  test('that are none are refused', () => {
    const p = leaf();
    for (const wrong of [
      p,
      3,
      null,
      undefined,
      'w',
      {},
      [3],
      [null],
      [p, { params: [p] }],
      [{ params: 3 }],
      [{ params: null }],
      [['w', 3]],
      [[p]],
    ])
      refused(() => new optim.SGD(any(wrong)), /is not a list of parameters|not a tensor|params is missing/);
    refused(() => new optim.SGD([]), /no parameters to optimise/);
    refused(() => new optim.SGD([{ params: [] }]), /no parameters to optimise/);
    refused(() => new optim.SGD([p, p]), /given twice/);
    refused(() => new optim.SGD([{ params: [p] }, { params: [p] }]), /given twice/);
    const result = p.mul(2);
    refused(() => new optim.SGD([result]), /must be a leaf/);
    result.backward();
    for (const t of [p.grad!, result, p]) t.dispose();
  });
  test('of an iterator that has ended are refused', () => {
    const model = new nn.Linear(1, 1);
    const parameters = model.parameters();
    refused(
      () =>
        new optim.SGD([
          { params: parameters, lr: 1 },
          { params: parameters, lr: 9 },
        ]),
      /has already ended/,
    );
    refused(() => new optim.SGD(parameters), /has already ended/);
    for (const p of model.parameters()) p.dispose();
  });
  test('may be added to a group, and are looked at when a step is taken', () => {
    const [a, b] = [withGrad(leaf()), withGrad(leaf())];
    const optimizer = track(new optim.SGD([a], { lr: 0.5 }));
    optimizer.paramGroups.push({ ...optimizer.paramGroups[0]!, params: [b], lr: 0.25 });
    for (const params of [null, 3, [3], [null], undefined]) {
      const broken = new optim.SGD([b]);
      any(broken.paramGroups[0]).params = params;
      refused(() => broken.step(), /SGD: a group of parameters is .* Pass an object whose params/);
      broken.paramGroups[0] = any(params);
      refused(() => broken.step(), /SGD: a group of parameters is/);
    }
    optimizer.step();
    expect([a.itemSync(), b.itemSync()]).toEqual([0.5, 0.75]);
  });
  test('that are frozen are skipped until they are thawed', () => {
    const model = new nn.Linear(1, 1);
    for (const p of model.parameters()) p.requiresGrad_(false);
    const optimizer = track(new optim.SGD(model.parameters(), { lr: 1 }));
    const step = (): void =>
      tidy(() => {
        const loss = model.forward(ones([1, 1])).sum();
        if (loss.requiresGrad) loss.backward();
        optimizer.step();
      });
    const before = [...model.parameters()].map(p => p.itemSync());
    step();
    expect([...model.parameters()].map(p => p.itemSync())).toEqual(before);
    expect(optimizer.stateDict().state).toEqual([null, null]);
    for (const p of model.parameters()) p.requiresGrad_(true);
    step();
    expect([...model.parameters()].map(p => p.itemSync())).not.toEqual(before);
  });
});

describe('a state', () => {
  const trained = (pairs: [string, number][], groups = 1): optim.Adam => {
    const params = pairs.map(([name, value]): [string, Tensor] => [name, withGrad(leaf(), value)]);
    const optimizer = track(new optim.Adam(groups === 1 ? params : params.map(pair => ({ params: [pair] }))));
    optimizer.step();
    return optimizer;
  };
  const averages = (optimizer: optim.Adam): (number | undefined)[] =>
    optimizer.stateDict().state.map(own => own?.expAvg?.itemSync());
  test('names its class, groups and parameters', () => {
    const { kind, groups } = trained([
      ['a', 1],
      ['b', 2],
    ]).stateDict();
    expect([kind, groups[0]!.params, groups[0]!.lr]).toEqual(['Adam', ['a', 'b'], 1e-3]);
    const model = new nn.Linear(1, 1);
    expect(track(new optim.Adam(model.parameters())).stateDict().groups[0]!.params).toEqual(['weight', 'bias']);
  });
  test('finds its parameters by name', () => {
    const [first, second] = [
      trained([
        ['a', 1],
        ['b', 2],
      ]),
      trained([
        ['b', 5],
        ['a', 5],
      ]),
    ];
    second.loadStateDict(first.stateDict());
    expect(averages(second)).toEqual(averages(first).toReversed());
  });
  const refusals: [string, () => optim.Adam, RegExp][] = [
    [
      'other names',
      () =>
        trained([
          ['a', 1],
          ['c', 2],
        ]),
      /state of c is missing; b is not in the optimizer/,
    ],
    ['fewer parameters', () => trained([['a', 1]]), /b is not in the optimizer/],
    [
      'more groups',
      () =>
        trained(
          [
            ['a', 1],
            ['b', 1],
          ],
          2,
        ),
      /saved with 1 parameter groups, the optimizer has 2/,
    ],
  ];
  test.each(refusals)('of %s is refused', (_, make, message) => {
    const [saved, mine] = [
      trained([
        ['a', 1],
        ['b', 2],
      ]).stateDict(),
      make(),
    ];
    const before = averages(mine);
    saved.groups[0]!.lr = 7;
    expect(() => mine.loadStateDict(saved)).toThrow(CheckpointError);
    expect(() => mine.loadStateDict(saved)).toThrow(message);
    expect(averages(mine)).toEqual(before);
    expect(mine.paramGroups[0]!.lr).toBe(1e-3);
  });
  test('goes by places where names are missing or stand for several parameters', () => {
    const names: (string | null)[][] = [
      ['a', 'a'],
      [null, null],
      ['a', null],
    ];
    const make = (list: (string | null)[], values: number[]): optim.Adam => {
      const params = list.map((name, i) => [name, withGrad(leaf(), values[i]!)] as const);
      const optimizer = track(new optim.Adam(params.map(([name, p]) => (name === null ? p : ([name, p] as const)))));
      optimizer.step();
      return optimizer;
    };
    for (const list of names)
      for (const others of [list, [null, null]]) {
        const [first, second] = [make(list, [1, 2]), make(others, [5, 5])];
        second.loadStateDict(first.stateDict());
        expect(averages(second)).toEqual(averages(first));
      }
    const swapped = make([null, 'a'], [5, 5]);
    const saved = make(['b', 'c'], [1, 2]).stateDict();
    expect(() => swapped.loadStateDict(saved)).toThrow(/parameter 1 was c, now it is a/);
    expect(() => make([null], [1]).loadStateDict(saved)).toThrow(/saved with 2 parameters, the optimizer has 1/);
  });
  test('that does not fit in several ways is refused with all of them', () => {
    const saved = trained([
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ]).stateDict();
    saved.groups[0]!.lr = -1;
    const scalar = ones([]);
    saved.state[1] = { ...saved.state[1]!, expAvg: scalar };
    const error = ((): CheckpointError => {
      try {
        trained([
          ['b', 1],
          ['d', 2],
        ]).loadStateDict(saved);
      } catch (caught) {
        return caught as CheckpointError;
      }
      throw new Error('it was loaded');
    })();
    scalar.dispose();
    expect(error.problems).toEqual([
      'the state of d is missing',
      'a is not in the optimizer',
      'c is not in the optimizer',
      'expAvg of b has shape [], the model [1]',
      expect.stringContaining('group 0: Adam: lr -1 is not a finite number >= 0'),
    ]);
  });
  test('that is none is refused', () => {
    const mine = trained([['a', 1]]);
    const { kind, groups, state } = mine.stateDict();
    for (const wrong of [
      null,
      3,
      {},
      { groups },
      { groups, state: {} },
      { groups: [null], state },
      { groups, state: [3] },
      { groups, state: [{}] },
      { kind: 'SGD', groups, state },
      { kind, groups: [{ ...groups[0], lr: NaN }], state },
      { kind, groups: [{ params: ['a'] }], state },
      { kind, groups, state: [{ ...state[0], expAvg: 3 }] },
    ])
      expect(() => mine.loadStateDict(any(wrong))).toThrow(wrong instanceof Object ? CheckpointError : ArgumentError);
  });
  test('is copied, not shared', () => {
    const [first, second] = [trained([['a', 1]]), trained([['a', 5]])];
    second.loadStateDict(first.stateDict());
    withGrad([...first.parameters()][0]!, 3);
    first.step();
    expect(averages(second)[0]).toBeCloseTo(0.1, 6);
    expect(averages(first)[0]).not.toBeCloseTo(0.1, 6);
    const again = track(new optim.Adam([['a', leaf()]]));
    again.loadStateDict(first.stateDict());
    const mine = again.stateDict().state[0]!;
    expect(Object.entries(first.stateDict().state[0]!).every(([name, t]) => t.storage !== mine[name]!.storage)).toBe(
      true,
    );
  });
  test('and settings are lists of their own', () => {
    const [first, second] = [trained([['a', 1]]), trained([['a', 5]])];
    second.loadStateDict(first.stateDict());
    const betas = (optimizer: optim.Adam): number[] => optimizer.paramGroups[0]!.betas as unknown as number[];
    betas(second)[0] = 0.25;
    (first.stateDict().groups[0]!.betas as number[])[1] = 0.125;
    expect([betas(first), betas(trained([['a', 1]]))]).toEqual([
      [0.9, 0.999],
      [0.9, 0.999],
    ]);
    const mine: [number, number] = [0.5, 0.5];
    const third = track(new optim.Adam([{ params: [leaf()] }, { params: [leaf()] }], { betas: mine }));
    mine[0] = 2;
    third.paramGroups[0]!.betas = [0.1, 0.1];
    expect(betas(third)).toEqual([0.1, 0.1]);
    expect(third.paramGroups[1]!.betas).toEqual([0.5, 0.5]);
  });
  test('goes into the tensors that a captured graph uses', () => {
    const p = leaf();
    const optimizer = track(new optim.SGD([p], { lr: 1, momentum: 0.5 }));
    const captured = graph.capture(() => {
      optimizer.zeroGrad();
      p.mul(1).sum().backward();
      optimizer.step();
    });
    const saved = optimizer.stateDict();
    const copy = { ...saved, state: [{ ...saved.state[0]!, momentumBuffer: tensor([8]) }] };
    optimizer.loadStateDict(copy);
    const before = p.itemSync();
    captured.replay();
    expect(p.itemSync()).toBe(before - (0.5 * 8 + 1));
    copy.state[0]!.momentumBuffer.dispose();
    captured.dispose();
  });
  test('of another float dtype is converted', () => {
    const wide = nn.Parameter(zeros([2], { dtype: 'float64' }));
    const optimizer = track(new optim.Adam([['a', wide]]));
    const narrow = track(new optim.Adam([['a', nn.Parameter(zeros([2]))]]));
    for (const p of narrow.parameters()) p.grad = ones([2]);
    narrow.step();
    optimizer.loadStateDict(narrow.stateDict());
    const { expAvg, step } = optimizer.stateDict().state[0]!;
    expect([expAvg!.dtype, step!.dtype]).toEqual(['float64', 'float32']);
    wide.grad = ones([2], { dtype: 'float64' });
    optimizer.step();
  });
});
