import { describe, expect, test } from 'bun:test';
import {
  autocast,
  autograd,
  CastorError,
  fromTypedArray,
  manualSeed,
  noGrad,
  rand,
  randn,
  tensor,
  tidy,
  zeros,
  type Device,
  type Tensor,
} from 'castor';
import { devices, tidyTest as it } from './setup.ts';
import { load, toTensor, type StoredTensor } from './golden/load.ts';

type Argument = number | number[] | { value: number };
/** One step of a program. views.py describes the kinds of steps. */
interface Step {
  do: [name: string, ...args: Argument[]];
  error?: true;
  noGrad?: true;
}
interface Program {
  steps: Step[];
  loss: number[];
  values: StoredTensor[];
  grads: (StoredTensor | null)[];
}
const programs = load<Program>('views');

/** Runs one step. Returns the tensor that it creates, or null for a write. */
function run([name, ...args]: Step['do'], tensors: readonly Tensor[], device: Device): Tensor | null {
  if (name === 'leaf' || name === 'plain') {
    const [shape, values] = args as [number[], number[]];
    const t = fromTypedArray(Float64Array.from(values), shape, { device });
    return name === 'leaf' ? t.requiresGrad_() : t;
  }
  const [target, ...rest] = args as [number, ...Argument[]];
  const t = tensors[target]!;
  if (name === 'retain') {
    t.retainGrad();
    return null;
  }
  const elementwise = /^(add|sub|mul|div|copy|fill|zero)_?$/.test(name);
  const given = rest.map(arg =>
    typeof arg === 'object' && 'value' in arg ? arg.value : elementwise ? tensors[arg as number] : arg,
  );
  const out = (t as unknown as Record<string, (...args: unknown[]) => Tensor>)[name]!(
    ...(name === 'zero_' ? [] : given),
  );
  return name.endsWith('_') ? null : out;
}

const weightsOf = (t: Tensor, n: number): Tensor =>
  fromTypedArray(
    Float64Array.from({ length: t.numel }, (_, i) => i + 1 + n),
    t.shape,
    { device: t.device },
  );

/** The tensors of a program after backward. `scoped` runs each step in a tidy scope of its own. */
function execute({ steps, loss }: Program, device: Device, scoped: boolean): Tensor[] {
  const tensors: Tensor[] = [];
  for (const { do: action, error, noGrad: quiet } of steps) {
    const once = (): Tensor | null => run(action, tensors, device);
    const inMode = (): Tensor | null => (quiet ? noGrad(once) : once());
    const act = (): Tensor | null => (scoped ? tidy(inMode) : inMode());
    if (error) expect(act, JSON.stringify(action)).toThrow(CastorError);
    else {
      const out = act();
      if (out !== null) tensors.push(out);
    }
  }
  loss
    .map((i, n) => tensors[i]!.mul(weightsOf(tensors[i]!, n)).sum())
    .reduce((a, b) => a.add(b))
    .backward();
  return tensors;
}

function compare(tensors: readonly Tensor[], { values, grads }: Program): void {
  const tolerance = { rtol: 1e-8, atol: 1e-8 };
  expect(tensors.length).toBe(values.length);
  tensors.forEach((t, i) => expect(t.detach(), `tensor ${i}`).toBeAllclose(toTensor(values[i]!, t.device), tolerance));
  tensors.forEach((t, i) => {
    const expected = grads[i];
    if (!expected) expect(t.grad, `gradient ${i}`).toBeNull();
    else expect(t.grad!, `gradient ${i}`).toBeAllclose(toTensor(expected, t.device), tolerance);
  });
}

describe.each([...devices])('programs of views and writes, on %s,', device => {
  test.each(programs.map((program, i) => [i, program] as const))('%i gives what PyTorch gives', (_, program) => {
    tidy(() => compare(execute(program, device, false), program));
  });
  // The hook at the end of the file checks that all of its memory was freed.
  test('give the same where each step has a tidy scope of its own', () => {
    for (const program of programs) tidy(() => compare(execute(program, device, true), program));
  });
});

const { customFunction, grad, gradcheck } = autograd;
const leaf = (data: number[] | number[][]): Tensor => tensor(data, { dtype: 'float64', requiresGrad: true });
const values = (t: Tensor | null | undefined): unknown => t!.toArraySync();

describe('writes to views', () => {
  /**
   * Each function takes a result y of shape [3, 2] and another operand w of shape [2], and returns a tensor that
   * depends on both.
   */
  const cases: [string, (y: Tensor, w: Tensor) => Tensor][] = [
    [
      'of a base that is multiplied',
      (y, w) => {
        const v = y.view([2, 3]);
        y.mul_(w);
        return v.square();
      },
    ],
    [
      'by select',
      (y, w) => {
        y.select(0, 1).mul_(w);
        return y.square();
      },
    ],
    [
      'by select, twice, with a view between',
      (y, w) => {
        const column = y.select(1, 0);
        y.select(0, 1).mul_(w);
        column.sin_();
        y.select(0, 2).add_(column.select(0, 0));
        return y.mul(y.T.reshape([3, 2])).add(column.unsqueeze(1));
      },
    ],
    [
      'of views of views',
      (y, w) => {
        y.T.select(0, 1).narrow(0, 1, 2).mul_(w);
        return y.square();
      },
    ],
    [
      'that step backwards',
      (y, w) => {
        y.slice(0, null, null, -2).mul_(w);
        return y.square();
      },
    ],
    [
      'of a transposed result',
      (y, w) => {
        const t = zeros([2, 3], { dtype: 'float64' }).T.detach();
        t.copy_(y);
        t.select(0, 0).copy_(w.square());
        t.select(1, 1).mul_(w.at(0));
        return t.mul(y);
      },
    ],
    [
      'of a plain tensor',
      (y, w) => {
        const plain = zeros([3, 4], { dtype: 'float64' });
        plain.slice(1, 0, null, 3).copy_(y);
        plain.at(':', 1).copy_(y.at(':', 0).mul(w.at(1)));
        return plain.square();
      },
    ],
    [
      'of a part of a detached tensor',
      (y, w) => {
        const part = zeros([4, 4], { dtype: 'float64' }).slice(0, 1).slice(1, 0, null, 2).detach();
        part.select(0, 1).copy_(w);
        part.select(1, 0).mul_(y.select(1, 0));
        part.T.select(0, 1).add_(y.select(1, 1));
        return part.square();
      },
    ],
    [
      'of a detached tensor that steps backwards',
      (y, w) => {
        const backwards = zeros([3, 4], { dtype: 'float64' })
          .slice(0, null, null, -1)
          .slice(1, null, null, -2)
          .detach();
        backwards.copy_(y);
        backwards.select(0, 1).mul_(w);
        backwards.select(1, 0).add_(y.select(1, 1));
        return backwards.square();
      },
    ],
    [
      'that are overwritten',
      (y, w) => {
        y.select(0, 0).zero_();
        y.select(0, 1).fill_(2).mul_(w);
        y.at(2).copy_(w);
        return y.square();
      },
    ],
    [
      'through expanded memory that is filled',
      (y, w) => {
        const wide = y.narrow(1, 0, 1).expand([3, 2]);
        const before = y.mul(1);
        wide.fill_(3);
        return before.mul(y).mul(w).add(wide.mul(w));
      },
    ],
    [
      'by unbind, split and chunk',
      (y, w) => {
        const [first, second] = y.unbind(0);
        const halves = y.split(1, 1);
        first!.mul_(second!);
        halves[1]!.mul_(w.at(0));
        y.chunk(3, 0)[2]!.exp_();
        return y.add(first!);
      },
    ],
    [
      'by set_',
      (y, w) =>
        y
          .set_([1, '0:'], w)
          .set_([':', 1], y.at(':', 0).add(w.at(0)))
          .square(),
    ],
    [
      'that another op reads afterwards',
      (y, w) => {
        const v = y.at(1);
        v.sin_().mul_(w);
        return v.square().add(y.at(0).mul(v));
      },
    ],
  ];
  for (const [name, fn] of cases)
    it(`${name} have the right gradients, of both orders`, () => {
      const inputs = [
        leaf([
          [0.5, 1.2],
          [-0.7, 2],
          [1.5, 0.3],
        ]),
        leaf([1.3, -0.4]),
      ];
      const f = (x: Tensor, w: Tensor): Tensor => fn(x.mul(1.5), w).mul(1);
      expect(gradcheck(f, inputs, { second: true })).toBe(true);
      // The same with hooks and captures, which must see the gradients before anything is added to them.
      const expected = grad(f(...(inputs as [Tensor, Tensor])).sum(), inputs).map(values);
      const seen: unknown[] = [];
      const y = inputs[0]!.mul(1.5);
      y.registerHook(g => void seen.push(g, values(g)));
      const out = fn(y, inputs[1]!);
      y.registerHook(g => void seen.push(g, values(g)));
      expect(grad(out.sum(), inputs).map(values)).toEqual(expected);
      for (let i = 0; i < seen.length; i += 2) expect(values(seen[i] as Tensor)).toEqual(seen[i + 1]);
    });
  it('keep the elements outside, also where gradients are infinite', () => {
    const x = leaf([1, 2]);
    const y = x.mul(1);
    y.select(0, 0).zero_();
    y.mul(tensor([Infinity, 1]).double())
      .sum()
      .backward();
    expect(values(x.grad)).toEqual([0, 1]);
  });
  it('in float16 and bfloat16, from a float32 source', () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const [x, w] = [
        tensor(
          [
            [1, 2],
            [3, 4],
          ],
          { dtype, requiresGrad: true },
        ),
        tensor([5, 6], { requiresGrad: true }),
      ];
      const y = x.mul(2);
      y.select(0, 1).copy_(w);
      y.mul(3).sum().backward();
      expect([x.grad!.dtype, w.grad!.dtype] as string[]).toEqual([dtype, 'float32']);
      expect([values(x.grad), values(w.grad)]).toEqual([
        [
          [6, 6],
          [0, 0],
        ],
        [3, 3],
      ]);
    }
  });
  it('uniform_ and normal_ draw what rand and randn draw, and leave no gradient of what was there', () => {
    const fills = [
      [(t: Tensor) => t.uniform_(), () => rand([2], { dtype: 'float64' })],
      [(t: Tensor) => t.normal_(), () => randn([2], { dtype: 'float64' })],
    ] as const;
    for (const [fill, make] of fills) {
      const x = leaf([1, 2]);
      const y = x.mul(2);
      manualSeed(5);
      fill(y);
      manualSeed(5);
      expect(values(y)).toEqual(values(make()));
      y.add(x).sum().backward();
      expect(values(x.grad)).toEqual([1, 1]);
    }
  });
  it('are named in gradFn by what was written', () => {
    const names = [
      (t: Tensor) => t.fill_(1),
      (t: Tensor) => t.zero_(),
      (t: Tensor) => t.uniform_(),
      (t: Tensor) => t.copy_(leaf([1, 2])),
      (t: Tensor) => t.mul_(2),
      (t: Tensor) => (t.select(0, 0).mul_(2), t),
    ].map(write => write(leaf([1, 2]).mul(2)).gradFn);
    expect(names.join(' ')).toBe('FillBackward ZeroBackward UniformBackward CopyBackward MulBackward WriteBackward');
  });
  it('of integers record nothing', () => {
    const [ids, x] = [zeros([2], { dtype: 'int64' }), leaf([1, 2])];
    ids.view([2]).copy_(x);
    expect([values(ids), ids.requiresGrad]).toEqual([[1, 2], false]);
  });
  it('that cannot be differentiated leave nothing of what was there', () => {
    const x = leaf([1, 0, 3]);
    const y = x.mul(2);
    y.logicalNot_();
    expect(y.requiresGrad).toBe(true);
    y.add(x).sum().backward();
    expect([values(y), values(x.grad)]).toEqual([
      [0, 1, 0],
      [1, 1, 1],
    ]);
  });
});

describe('what is refused', () => {
  const recorded = (): Tensor => leaf([1, 2]).mul(2);
  const viewInNoGrad = (): Tensor => {
    const y = recorded();
    return noGrad(() => y.view([2, 1]));
  };
  const refused: [string, () => unknown, RegExp][] = [
    ['a leaf', () => leaf([1]).mul_(2), /a leaf that requires a gradient/],
    ['a view of a leaf', () => leaf([1, 2]).view([2, 1]).mul_(2), /a view of a leaf/],
    ['a view of a view of a leaf', () => leaf([1, 2]).view([2, 1]).select(0, 0).zero_(), /a view of a leaf/],
    [
      'a view of what became a leaf',
      () => {
        const t = zeros([2]);
        const v = t.view([2, 1]);
        t.requiresGrad_();
        v.add_(1);
      },
      /a view of a leaf/,
    ],
    [
      'a view made inside noGrad',
      () => viewInNoGrad().mul_(2),
      /made inside noGrad.*either both inside noGrad\(\) or both outside/,
    ],
    [
      'a view of a view made inside noGrad',
      () => viewInNoGrad().select(0, 0).mul_(2),
      /made inside noGrad.*either both inside noGrad\(\) or both outside/,
    ],
    [
      'a plain view made inside noGrad, by what is recorded',
      () => noGrad(() => zeros([2]).double().view([2])).mul_(recorded()),
      /made inside noGrad.*either both inside noGrad\(\) or both outside/,
    ],
    [
      'using a view made inside noGrad of what was written to',
      () => {
        const y = recorded();
        const v = noGrad(() => y.view([2, 1]));
        y.mul_(2);
        v.mul(2);
      },
      /made inside noGrad.*either both inside noGrad\(\) or both outside/,
    ],
    [
      'a view that a custom function returned',
      () => {
        const flat = customFunction({ forward: (_, t: Tensor) => t.view([2, 1]), backward: (_, g) => g.reshape([2]) });
        flat(recorded()).mul_(2);
      },
      /custom function.*Return a clone\(\) from forward/,
    ],
    [
      'an argument that a custom function handed through',
      () => {
        const same = customFunction({ forward: (_, t: Tensor) => t, backward: (_, g) => g });
        same(recorded()).mul_(2);
      },
      /custom function.*Return a clone\(\) from forward/,
    ],
    [
      'using the view of a custom function of what was written to',
      () => {
        const flat = customFunction({ forward: (_, t: Tensor) => t.view([2, 1]), backward: (_, g) => g.reshape([2]) });
        const y = recorded();
        const v = flat(y);
        y.mul_(2);
        v.sum().backward();
      },
      /custom function.*Return a clone\(\) from forward/,
    ],
    ['expanded memory', () => recorded().expand([3, 2]).mul_(2), /stride 0 on axis 0/],
    [
      'a view of expanded memory',
      () => recorded().expand([3, 2]).detach().select(0, 0).mul_(recorded()),
      /shows elements several times/,
    ],
  ];
  for (const [what, fn, message] of refused)
    it(what, () => {
      expect(fn).toThrow(CastorError);
      expect(fn).toThrow(message);
    });
  it('nothing where no gradient is wanted, or inside noGrad', () => {
    const w = leaf([1, 2]);
    noGrad(() => w.view([2, 1]).mul_(3));
    expect([values(w), w.isLeaf, w.requiresGrad]).toEqual([[3, 6], true, true]);
    const plain = zeros([2]);
    noGrad(() => plain.view([2, 1])).add_(1);
    expect(values(plain)).toEqual([1, 1]);
    const y = recorded();
    const v = y.view([2, 1]);
    y.detach().mul_(2);
    expect([values(v), v.gradFn]).toEqual([[[4], [8]], 'ViewBackward']);
  });
  it('the outputs of a custom function that own their memory may be written to', () => {
    const twice = customFunction({ forward: (_, t: Tensor) => t.mul(2), backward: (_, g) => g.mul(2) });
    const x = leaf([1, 2]);
    const y = twice(x);
    y.select(0, 0).mul_(5);
    y.sum().backward();
    expect(values(x.grad)).toEqual([10, 2]);
  });
});

describe('views follow', () => {
  it('their base, with hooks and retained gradients where PyTorch has them', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    const v = y.slice(0, 0, 1);
    const seen: unknown[] = [];
    y.registerHook(g => void seen.push(['base before', values(g)]));
    v.retainGrad();
    y.retainGrad();
    v.mul_(5);
    v.registerHook(g => void seen.push(['view after', values(g)]));
    y.sum().add(v.sum()).backward();
    expect([values(x.grad), values(v.grad), values(y.grad)]).toEqual([[20, 2], [1], [2, 1]]);
    expect(seen).toEqual([
      ['view after', [1]],
      ['base before', [10, 1]],
    ]);
  });
  it('nothing that was detached', () => {
    const y = leaf([1, 2]).mul(2);
    const d = y.detach();
    const v = d.view([2, 1]);
    y.mul_(3);
    expect([d.requiresGrad, v.requiresGrad, values(v)]).toEqual([false, false, [[6], [12]]]);
    d.add_(leaf([1, 1]));
    expect([v.requiresGrad, y.gradFn]).toEqual([true, 'MulBackward']);
  });
  it('a tensor that became a leaf only from then on', () => {
    const t = zeros([2]);
    const v = t.view([2, 1]);
    t.requiresGrad_();
    expect(v.requiresGrad).toBe(false);
    expect(t.view([2, 1]).requiresGrad).toBe(true);
  });
  it('also when they are printed or returned from tidy', () => {
    const y = leaf([1, 2]).mul(2);
    const v = tidy(() => y.view([2, 1]));
    tidy(() => void y.exp_());
    expect(tidy(() => v).requiresGrad).toBe(true);
    expect(String(v)).toContain('gradFn=<ViewBackward>');
  });
  it('also as long chains, and where nothing is shown', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    let deep: Tensor = y;
    for (let i = 0; i < 20_000; i++) deep = deep.view([2]);
    y.mul_(3);
    deep.mul_(2);
    for (let i = 0; i < 5000; i++) y.select(0, 1).add_(x.select(0, 0));
    y.narrow(0, 2, 0).fill_(9);
    y.narrow(0, 1, 0).mul_(tensor([]).double().requiresGrad_());
    deep.sum().backward();
    expect(values(x.grad)).toEqual([12 + 5000, 12]);
  });
  it('and print, whether or not they can be used', () => {
    const y = leaf([1, 2]).mul(2);
    const v = noGrad(() => y.view([2, 1]));
    y.mul_(2);
    expect(String(v)).toContain('gradFn=<unclear>');
  });
  it('in checkpoints too', () => {
    const body = (u: Tensor): Tensor => {
      const y = u.mul(2);
      const first = y.select(0, 0);
      first.mul_(u.select(0, 1));
      y.slice(0, 1).sin_();
      return y.square().add(first);
    };
    expect(gradcheck(body, [leaf([1, 2, 3])], { second: true })).toBe(true);
    expect(gradcheck((u: Tensor) => autograd.checkpoint(body, u), [leaf([1, 2, 3])], { second: true })).toBe(true);
  });
  test('all views of one call are in the report of autocast', async () => {
    const x = zeros([4, 2]);
    const { report } = await autocast.report({ dtype: 'bfloat16' }, () => [...x.unbind(0), ...x.split(2)].length);
    expect(report.ops.find(({ op }) => op === 'slice')).toMatchObject({ count: 6 });
    x.dispose();
  });
  it('flip does not: it is a copy', () => {
    const x = tensor([1, 2, 3]);
    x.flip(0).add_(10);
    x.flip([]).add_(10);
    expect(values(x)).toEqual([1, 2, 3]);
    const t = leaf([1, 2, 3]);
    t.flip(0)
      .mul_(tensor([1, 10, 100]).double())
      .sum()
      .backward();
    expect(values(t.grad)).toEqual([100, 10, 1]);
  });
});
