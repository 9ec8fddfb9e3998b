import { afterEach, describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  CheckpointError,
  DisposedError,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from 'castor';

/** Parameters, buffers and modules belong to a model, wherever they are stored, and nothing else does. */

const made: nn.Module[] = [];
function keepTrack<M extends nn.Module>(model: M): M {
  made.push(model);
  return model;
}
afterEach(() => {
  for (const model of made.splice(0))
    for (const module of [model, ...Object.values(model).filter(value => value instanceof nn.Module)])
      for (const [, t] of module.namedTensors()) {
        t.grad?.dispose();
        t.dispose();
      }
});
const it = (name: string, fn: () => void): void =>
  test(name, () => {
    manualSeed(3);
    tidy(fn);
  });

/** A model with these properties and without a forward(). */
class Bag extends nn.Module {
  [name: string]: any;
  constructor(properties: object = {}) {
    super();
    Object.assign(this, properties);
  }
  forward(): void {}
}
const bag = (properties: object = {}): Bag => keepTrack(new Bag(properties));
const linear = (): nn.Linear => new nn.Linear(1, 1, { bias: false });
const parameterNames = (model: nn.Module): string[] => [...model.namedParameters()].map(([name]) => name);
const names = (model: nn.Module): string[] => [...model.namedTensors()].map(([name]) => name);
const refused = (call: () => unknown, message: RegExp): void => {
  expect(call).toThrow(ArgumentError);
  expect(call).toThrow(message);
};

describe('modules and parameters are found', () => {
  const places: [string, () => object, string[]][] = [
    ['in a property', () => ({ a: linear() }), ['a.weight']],
    ['in an array', () => ({ a: [linear(), null, linear()] }), ['a.0.weight', 'a.2.weight']],
    ['in an array of arrays', () => ({ a: [[linear()], [[linear()]]] }), ['a.0.0.weight', 'a.1.0.0.weight']],
    ['in an object', () => ({ a: { x: linear(), y: { z: linear() } } }), ['a.x.weight', 'a.y.z.weight']],
    [
      'in an object without prototype',
      () => ({ a: Object.assign(Object.create(null), { x: linear() }) }),
      ['a.x.weight'],
    ],
    [
      'in properties of a Map and a Set',
      () => ({
        b: Object.assign(new Map([['y', linear()]]), { z: linear() }),
        c: Object.assign(new Set(), { x: linear() }),
      }),
      ['b.y.weight', 'b.z.weight', 'c.x.weight'],
    ],
    [
      'in a Map',
      () => ({
        a: new Map<unknown, unknown>([
          ['x', linear()],
          [2, linear()],
        ]),
      }),
      ['a.x.weight', 'a.2.weight'],
    ],
    ['in a Set', () => ({ a: new Set([linear(), linear()]) }), ['a.0.weight', 'a.1.weight']],
    ['in all of them', () => ({ a: new Map([['x', [{ y: new Set([linear()]) }]]]) }), ['a.x.0.y.0.weight']],
    ['as parameters', () => ({ a: { x: nn.Parameter(ones([1])) }, b: [nn.Parameter(ones([1]))] }), ['a.x', 'b.0']],
    [
      'under the name __proto__',
      () => ({ a: JSON.parse('{"x":0}'), b: { ['__proto__']: linear() } }),
      ['b.__proto__.weight'],
    ],
  ];
  for (const [where, make, expected] of places)
    it(where, () => {
      const model = bag(make());
      expect(parameterNames(model)).toEqual(expected);
      expect([...model.stateDict().keys()]).toEqual(expected);
      expect([...model.parameters()].every(p => p instanceof nn.Parameter)).toBe(true);
      model.eval();
      expect([...model.modules()].every(module => !module.training)).toBe(true);
    });
  it('in a property that cannot be enumerated, and in one of a class that is derived twice', () => {
    class Base extends Bag {
      first = linear();
    }
    class Derived extends Base {
      second = linear();
    }
    const model = keepTrack(new Derived());
    Object.defineProperty(model, 'third', { value: linear() });
    expect(parameterNames(model)).toEqual(['first.weight', 'second.weight', 'third.weight']);
  });
  it('at the depth of a long chain, and around circles', () => {
    const model = bag({ a: linear() });
    const last = nn.Parameter(ones([1]));
    let end: object = { last };
    for (let i = 0; i < 20_000; i++) end = { n: end };
    model.chain = end;
    model.self = model;
    model.ring = { back: model, list: [] as unknown[] };
    model.ring.list.push(model.ring);
    const found = parameterNames(model);
    expect(found).toHaveLength(2);
    expect(found[1]).toEndWith('.n.last');
    expect([...model.modules()]).toHaveLength(2);
    delete model.chain;
    last.dispose();
  });
  it('after a property was replaced, deleted or made null', () => {
    const model = bag({ a: linear(), b: linear(), c: linear() });
    const old = [model.a, model.b, model.c] as nn.Linear[];
    expect(parameterNames(model)).toEqual(['a.weight', 'b.weight', 'c.weight']);
    model.a = new nn.Linear(1, 1);
    model.b = null;
    delete model.c;
    expect(parameterNames(model)).toEqual(['a.weight', 'a.bias']);
    for (const module of old) module.weight.dispose();
  });
  it('once when they are shared, by the first name', () => {
    const shared = linear();
    const model = bag({ a: shared, b: { again: shared }, c: [shared.weight] });
    expect(parameterNames(model)).toEqual(['a.weight']);
    expect([...model.modules()]).toEqual([model, shared]);
  });
});

describe('what is no part of a model', () => {
  it('a plain tensor in a property, however it was made', () => {
    const model = bag({ layer: linear() });
    model.last = model.layer.forward(ones([2, 1]));
    model.history = [model.last, { x: ones([1]) }];
    model.input = ones([1], { requiresGrad: true });
    expect(names(model)).toEqual(['layer.weight']);
    model.loadStateDict(new Map([['layer.weight', tensor([[5]])]]));
    expect(model.layer.weight.itemSync()).toBe(5);
    new optim.SGD(model.parameters());
  });
  it('what a getter, a private field, a function or a WeakMap holds', () => {
    class Hider extends Bag {
      readonly #teacher = linear();
      get teacher(): nn.Linear {
        return this.#teacher;
      }
      frozen = (): nn.Linear => this.#teacher;
    }
    const model = new Hider();
    let calls = 0;
    Object.defineProperty(model, 'lazy', { get: () => calls++, enumerable: true });
    expect(names(model)).toEqual([]);
    expect(calls).toBe(0);
    model.teacher.weight.dispose();
  });
  it('numbers, texts, typed arrays and large Maps of them', () => {
    const vocabulary = new Map(Array.from({ length: 1000 }, (_, i) => [`word.${i}`, { id: i }]));
    expect(
      names(bag({ n: 1, t: 'x', a: new Float32Array(9), date: new Date(0), vocabulary, empty: { '': 1 } })),
    ).toEqual([]);
  });
});

describe('what would be left out of training is refused:', () => {
  class Holder {
    layer = linear();
  }
  it('a module in an object of a class that is no Module', () => {
    const holder = new Holder();
    const model = new Bag({ holder });
    refused(() => [...model.parameters()], /module 'layer' lies in a Holder.*extend nn\.Module/);
    refused(() => model.stateDict(), /private field/);
    model.also = holder.layer; // Registered elsewhere, it is not left out.
    expect(parameterNames(model)).toEqual(['also.weight']);
    holder.layer.weight.dispose();
  });
  it('a parameter in one', () => {
    const w = nn.Parameter(ones([1]));
    const holder = new (class Shelf {
      layer = w;
    })();
    refused(() => [...new Bag({ holder }).parameters()], /parameter 'layer' lies in a Shelf/);
    w.dispose();
  });
  it('a name with a dot, an empty one, a symbol, an object as a key', () => {
    const layer = linear();
    for (const properties of [
      { 'a.b': layer },
      { a: { '': layer } },
      { [Symbol('a')]: layer },
      { a: new Map([[{}, layer]]) },
    ])
      refused(() => [...new Bag(properties).parameters()], /cannot be part of the name/);
    layer.weight.dispose();
  });
  it('a key of a Map', () => {
    const layer = linear();
    const model = new Bag({ rates: new Map([[layer, 0.1]]) });
    refused(() => [...model.parameters()], /is a key of a Map/);
    model.layer = layer;
    expect(parameterNames(model)).toEqual(['layer.weight']);
    layer.weight.dispose();
  });
  it('two parts of one name', () => {
    const model = bag({
      a: new Map<unknown, nn.Module>([
        [1, linear()],
        ['1', linear()],
      ]),
    });
    const all = [...model.a.values()] as nn.Linear[];
    refused(() => [...model.parameters()], /two parts of the model have the name 'a\.1'/);
    model.a = null;
    for (const layer of all) layer.weight.dispose();
  });
  it('a plain tensor in the place of a parameter', () => {
    const model = bag({ w: nn.Parameter(ones([1])), layer: new nn.Linear(1, 1) });
    expect(names(model)).toHaveLength(3);
    const { w } = model;
    model.w = w.mul(2);
    refused(() => [...model.parameters()], /'w' is a parameter of this module.*copy_/);
    model.w = w;
    refused(() => (model.layer.weight = zeros([1, 1])), /'weight' is a parameter.*nn\.Parameter\(t\)/);
    refused(() => (model.layer.weight = 3), /cannot be 3/);
    const replaced = model.layer.weight as Tensor;
    model.layer.weight = nn.Parameter(zeros([1, 1]));
    expect([...model.parameters()]).toContain(model.layer.weight);
    model.layer.bias.dispose();
    model.layer.bias = null;
    expect(names(model)).toEqual(['w', 'layer.weight']);
    replaced.dispose();
  });
  it('a Proxy of a model or of a part of it', () => {
    const model = bag({ a: linear() });
    refused(
      () => [...new Proxy(model, {}).parameters()],
      /called on a Proxy of a Module\. Call it on the object itself/,
    );
    refused(() => [...new Bag({ b: new Proxy(model, {}) }).parameters()], /'b' is a Proxy/);
    refused(() => [...new Bag({ b: new Proxy(model.a.weight as Tensor, {}) }).parameters()], /'b' is a Proxy/);
  });
});

describe('nn.Parameter', () => {
  it('is called with and without new, and marks the tensor itself', () => {
    const t = ones([2]);
    const [p, q] = [new nn.Parameter(t), nn.Parameter(ones([1]), { requiresGrad: false })];
    expect(p).toBe(t);
    expect([p.requiresGrad, q.requiresGrad]).toEqual([true, false]);
    expect([t instanceof nn.Parameter, ones([1]) instanceof nn.Parameter]).toEqual([true, false]);
    for (const each of [p, q]) each.dispose();
  });
  it('of a recorded result is a leaf on the same memory', () => {
    const w = nn.Parameter(ones([2]));
    const p = nn.Parameter(w.mul(3));
    expect([p.isLeaf, p.requiresGrad, p.toArraySync()]).toEqual([true, true, [3, 3]]);
    for (const t of [w, p.base!]) t.dispose();
  });
  it('of what is not a tensor is refused', () => {
    for (const wrong of [3, null, undefined, [1], 'w']) refused(() => nn.Parameter(wrong as never), /is not a tensor/);
    refused(() => nn.Buffer({} as never), /is not a tensor/);
    const p = nn.Parameter(ones([1]));
    refused(() => nn.Buffer(p), /a parameter cannot be a buffer/);
    p.dispose();
  });
});

describe('buffers', () => {
  it('are part of the state unless they say otherwise', () => {
    const model = bag({ kept: nn.Buffer(ones([1])), passing: nn.Buffer(ones([1]), { persistent: false }) });
    model.registerBuffer('mean', zeros([2]));
    model.registerBuffer('cache', zeros([2]), { persistent: false });
    model.registerBuffer('none', null);
    expect([...model.namedBuffers()].map(([name]) => name)).toEqual(['kept', 'passing', 'mean', 'cache']);
    expect([...model.buffers()]).toHaveLength(4);
    expect([...model.stateDict().keys()]).toEqual(['kept', 'mean']);
    expect([...model.parameters()]).toEqual([]);
  });
  it('may be replaced, also inside a tidy scope', () => {
    const model = bag({ kept: nn.Buffer(ones([1])) });
    model.registerBuffer('mean', zeros([2]), { persistent: false });
    const old = [model.kept, model.mean] as Tensor[];
    expect(names(model)).toEqual(['kept', 'mean']);
    tidy(() => {
      model.mean = model.mean.add(2);
      model.kept = model.kept.add(1);
      expect([...model.stateDict().keys()]).toEqual(['kept']);
    });
    expect([model.mean.toArraySync(), model.kept.toArraySync()]).toEqual([[2, 2], [2]]);
    for (const t of old) t.dispose();
  });
  it('and parameters are registered under names that are free', () => {
    const model = bag({ taken: 1 });
    for (const name of ['taken', 'forward', 'training', 'a.b', '', 3])
      refused(() => model.registerBuffer(name as string, ones([1])), /already|is not a name/);
    model.registerParameter('w', nn.Parameter(ones([1])));
    refused(() => model.registerParameter('v', ones([1])), /'v' is a parameter/);
    expect(names(model)).toEqual(['w']);
  });
});

describe('loadStateDict', () => {
  class Tied extends Bag {
    embedding = new nn.Embedding(2, 2);
    head = new nn.Linear(2, 2, { bias: false });
    constructor() {
      super();
      this.head.weight.dispose();
      this.head.weight = this.embedding.weight;
    }
  }
  it('takes a shared tensor under either name, or under both', () => {
    const t = ones([2, 2]);
    const states: Record<string, Tensor>[] = [
      { 'embedding.weight': t },
      { 'head.weight': t },
      { 'embedding.weight': t, 'head.weight': zeros([2, 2]) },
    ];
    for (const state of states) {
      const model = keepTrack(new Tied());
      expect([...model.stateDict().keys()]).toEqual(['embedding.weight']);
      model.loadStateDict(state);
      expect(model.embedding.weight.toArraySync()).toEqual([
        [1, 1],
        [1, 1],
      ]);
    }
    const model = keepTrack(new Tied());
    expect(() => model.loadStateDict({ 'embedding.weight': t, 'head.weight': ones([2]) })).toThrow(
      /head\.weight has shape/,
    );
  });
  it('reports all that does not fit, and changes nothing', () => {
    const model = bag({ a: [1, 2, 3, 4, 5, 6, 7].map(() => linear()) });
    const before = [...model.parameters()].map(p => p.itemSync());
    const disposed = ones([1, 1]);
    disposed.dispose();
    const state = { 'a.0.weight': ones([2]), 'a.1.weight': 7 as never, 'a.2.weight': disposed, other: ones([1]) };
    const error = (() => {
      try {
        model.loadStateDict(state);
      } catch (caught) {
        return caught as CheckpointError;
      }
    })()!;
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.problems).toEqual([
      ...[3, 4, 5, 6].map(i => `a.${i}.weight is missing`),
      'other is not part of the model',
      'a.0.weight has shape [2], the model [1, 1]',
      'a.1.weight is not a tensor',
      'a.2.weight was disposed',
    ]);
    expect(error.message).toContain('; and 3 more');
    expect([...model.parameters()].map(p => p.itemSync())).toEqual(before);
    for (const wrong of [null, 3, undefined]) refused(() => model.loadStateDict(wrong as never), /is not a state/);
  });
  it('cuts long names in its message', () => {
    const long = 'n'.repeat(1_000_000);
    const model = bag({ a: linear() });
    const message = (): string => {
      try {
        model.loadStateDict({ [long]: ones([1]) });
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(message()).toContain('a.weight is missing');
    expect(message().length).toBeLessThan(1000);
  });
  it('copies tensors of the same model as they were before', () => {
    const model = bag({ a: linear(), b: linear() });
    noGrad(() => (model.a.weight.fill_(1), model.b.weight.fill_(2)));
    model.loadStateDict({ 'a.weight': model.b.weight, 'b.weight': model.a.weight });
    expect([model.a.weight.itemSync(), model.b.weight.itemSync()]).toEqual([2, 1]);
  });
  it('of a model that was disposed says so', () => {
    const model = new Bag({ a: linear() });
    model.a.weight.dispose();
    expect(() => model.loadStateDict({ 'a.weight': ones([1, 1]) })).toThrow(/a\.weight of the model was disposed/);
    expect(() => (model.a as nn.Linear).forward(ones([1, 1]))).toThrow(DisposedError);
  });
});

describe('the layers of a Sequential', () => {
  it('cannot be replaced, so that forward() always finds modules', () => {
    const model = new nn.Sequential(linear(), linear());
    const { layers } = model;
    for (const other of [[], [linear()], 3])
      expect(() => ((model as unknown as { layers: unknown }).layers = other)).toThrow(TypeError);
    expect(model.layers).toBe(layers);
    expect([...model.parameters()]).toHaveLength(2);
  });
});
