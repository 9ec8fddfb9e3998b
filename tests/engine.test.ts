import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  autograd,
  AutogradError,
  cat,
  CastorError,
  DTypeError,
  full,
  keep,
  memory,
  noGrad,
  ones,
  ShapeError,
  stack,
  tensor,
  Tensor,
  tidy,
  zeros,
} from 'castor';
import { tidyTest as it, liveStorages as live } from './setup.ts';

const { checkpoint, customFunction, grad } = autograd;

const leaf = (data: number[] | number[][]): Tensor => tensor(data, { dtype: 'float64', requiresGrad: true });
const values = (t: Tensor | null | undefined): unknown => t!.toArraySync();

describe('a run inside a run', () => {
  /** y = 3 x is used twice. `inside` runs in between, while the gradients of y are incomplete. */
  function outer(
    inside: (x: Tensor, y: Tensor, square: Tensor, failing: Tensor) => void,
    attach: 'hook' | 'custom' | 'checkpoint',
  ): Tensor {
    const x = leaf([2]);
    const y = x.mul(3);
    const square = y.square().sum();
    const throwing = y.mul(1);
    throwing.registerHook(() => {
      throw new Error('inner');
    });
    const failing = throwing.sum().add(square);
    const run = (): void => inside(x, y, square, failing);
    const times5 = customFunction({
      forward: (_, t: Tensor) => t.mul(5),
      backward: (_, g) => {
        run();
        return g.mul(5);
      },
    });
    let calls = 0;
    const branch =
      attach === 'hook'
        ? y.mul(5)
        : attach === 'custom'
          ? times5(y)
          : checkpoint((t: Tensor) => {
              if (calls++ > 0) run();
              return t.mul(t.detach()).mul(5 / 6);
            }, y);
    if (attach === 'hook') branch.registerHook(run);
    branch.sum().add(y.sum()).backward();
    return x;
  }
  for (const attach of ['hook', 'custom', 'checkpoint'] as const) {
    it(`that ${attach} starts with autograd.grad changes nothing`, () => {
      let inner: unknown;
      const x = outer((t, _, square) => void (inner = values(grad(square, t, { retainGraph: true })[0])), attach);
      expect([values(x.grad), inner]).toEqual([[18], [36]]);
    });
    it(`that ${attach} starts with backward adds its own gradient`, () => {
      const x = outer((_, __, square) => square.backward(undefined, { retainGraph: true }), attach);
      expect(values(x.grad)).toEqual([18 + 36]);
    });
    it(`that ${attach} starts and that throws leaves the outer run as it was`, () => {
      const x = outer((_, __, ___, failing) => {
        expect(() => failing.backward(undefined, { retainGraph: true })).toThrow('inner');
      }, attach);
      expect(values(x.grad)).toEqual([18]);
    });
  }
  it('three levels deep, and of a custom function with several outputs', () => {
    const pair = customFunction({
      forward: (_, t: Tensor) => [t.mul(2), t.mul(3)],
      backward: (_, a, b) => a!.mul(2).add(b!.mul(3)),
    });
    const x = leaf([1]);
    const [a, b] = pair(x);
    const loss = a!.add(b!.square()).sum();
    const found: unknown[] = [];
    let depth = 0;
    b!.registerHook(() => {
      if (depth++ < 2) found.push(values(grad(loss, x, { retainGraph: true })[0]));
    });
    loss.backward(undefined, { retainGraph: true });
    expect(found).toEqual([[20], [20]]);
    expect(values(x.grad)).toEqual([20]);
  });
  it('of a retained graph inside a hook of the same node', () => {
    const x = leaf([1, 2]);
    const y = x.square();
    const loss = y.sum();
    let again = true;
    y.registerHook(() => {
      if (again) {
        again = false;
        loss.backward(undefined, { retainGraph: true });
      }
    });
    loss.backward(undefined, { retainGraph: true });
    expect(values(x.grad)).toEqual([4, 8]);
  });
});

describe('hooks', () => {
  it('run in the order they were registered; the retained gradient comes after all of them', () => {
    const x = leaf([1]);
    const y = x.mul(2);
    const seen: unknown[] = [];
    y.registerHook(g => (seen.push(values(g)), g.mul(10)));
    y.retainGrad();
    y.registerHook(g => (seen.push(values(g)), g.mul(2)));
    y.sum().backward();
    expect(seen).toEqual([[1], [10]]);
    expect([values(y.grad), values(x.grad)]).toEqual([[20], [40]]);
  });
  it('that are removed or added by a hook count from the next run on', () => {
    const x = leaf([1]);
    const seen: string[] = [];
    const remove: (() => void)[] = [];
    remove.push(
      x.registerHook(() => {
        seen.push('first');
        remove.forEach(off => off());
        x.registerHook(() => void seen.push('added'));
      }),
    );
    remove.push(x.registerHook(() => void seen.push('second')));
    x.mul(2).sum().backward();
    expect(seen).toEqual(['first', 'second']);
    x.mul(2).sum().backward();
    expect(seen).toEqual(['first', 'second', 'added']);
  });
  it('the same function registered twice runs twice, and is removed once', () => {
    const x = leaf([1]);
    const double = (g: Tensor): Tensor => g.mul(2);
    const remove = x.registerHook(double);
    x.registerHook(double);
    expect(values(grad(x.sum(), x)[0])).toEqual([4]);
    remove();
    expect(values(grad(x.sum(), x)[0])).toEqual([2]);
  });
  it('retainGrad twice fills .grad once, and adds up over runs', () => {
    const x = leaf([3]);
    const y = x.mul(2).retainGrad().retainGrad();
    const loss = y.sum();
    loss.backward(undefined, { retainGraph: true });
    const first = y.grad!;
    expect(values(y.grad)).toEqual([1]);
    loss.backward();
    expect([values(y.grad), values(first)]).toEqual([[2], [1]]);
  });
  it('retainGrad with createGraph keeps the history', () => {
    const x = leaf([3]);
    const y = x.mul(2).retainGrad();
    y.square().sum().backward(undefined, { createGraph: true });
    expect(values(grad(y.grad!.sum(), x)[0])).toEqual([4]);
  });
  it('retainGrad and registerHook are errors where there is no gradient', () => {
    expect(() => zeros([1]).retainGrad()).toThrow(AutogradError);
    expect(() => zeros([1]).registerHook(() => undefined)).toThrow(AutogradError);
    expect(() => leaf([1]).registerHook(5 as never)).toThrow(ArgumentError);
  });
  const wrong: [string, (g: Tensor) => unknown, new (...args: never[]) => CastorError, RegExp][] = [
    ['another shape', g => g.sum(), ShapeError, /hook 'named'.*\[\].*\[2\]/],
    ['a shape that broadcasts', g => g.unsqueeze(0), ShapeError, /hook 'named'/],
    ['another dtype', g => g.half(), DTypeError, /hook 'named'.*float16.*float64/],
    ['a number', () => 5, ArgumentError, /hook 'named' returned 5, not a gradient/],
    ['false', () => false, ArgumentError, /hook 'named' returned false, not a gradient/],
    ['an array', g => [g], ArgumentError, /hook 'named' returned an array of one item, not a gradient/],
    ['a promise', async () => undefined, ArgumentError, /hook 'named'.*promise.*async/],
  ];
  for (const [what, fn, kind, message] of wrong)
    for (const at of ['leaf', 'result'] as const)
      it(`that return ${what} are errors that name them (${at})`, () => {
        const x = leaf([1, 2]);
        const y = x.mul(2);
        const named = (g: Tensor): never => fn(g) as never;
        (at === 'leaf' ? x : y).registerHook(named);
        const loss = y.sum();
        const failing = (): void => loss.backward(undefined, { retainGraph: true });
        expect(failing).toThrow(kind);
        expect(failing).toThrow(message);
        expect(x.grad).toBeNull();
      });
  it('without a name are called hooks', () => {
    const x = leaf([1, 2]);
    x.registerHook(
      (
        () => (_: Tensor) =>
          5 as never
      )(),
    );
    expect(() => x.sum().backward()).toThrow(/^AccumulateGrad: a hook returned 5, not a gradient/);
  });
  it('that return a disposed tensor are errors', () => {
    const x = leaf([1, 2]);
    x.registerHook(g => {
      const gone = g.mul(2);
      gone.dispose();
      return gone;
    });
    expect(() => x.sum().backward()).toThrow(/disposed/);
  });
  it('may dispose of the gradient they are given', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2);
    y.registerHook(g => g.dispose());
    y.square().sum().backward();
    expect(values(x.grad)).toEqual([8, 16]);
  });
});

describe('what user code keeps', () => {
  const losses: [string, (y: Tensor) => Tensor][] = [
    ['sum', y => y.sum()],
    ['add and sum', y => y.add(1).sum()],
    ['reshape and sum', y => y.reshape([2, 1]).sum()],
    ['two uses', y => y.add(y.mul(3)).add(y).sum()],
    ['a shared gradient', y => y.add(y.square()).sum()],
    ['slices', y => y.select(0, 0).add(y.select(0, 1)).add(y.select(0, 0))],
    ['itself', y => y],
  ];
  for (const [name, loss] of losses)
    for (const where of ['hook', 'leaf hook', 'custom backward'] as const)
      it(`of gradients in a ${where} stays as it was: ${name}`, () => {
        const kept: { grad: Tensor; was: unknown }[] = [];
        const note = (g: Tensor): void => void kept.push({ grad: g, was: values(g) });
        const custom = customFunction({
          forward: (_, t: Tensor) => t.mul(1),
          backward: (_, g) => (note(g), g),
        });
        const x = leaf([1, 2]);
        const y = where === 'custom backward' ? custom(x) : x.mul(1);
        if (where === 'hook') y.registerHook(note);
        if (where === 'leaf hook') x.registerHook(note);
        for (let i = 0; i < 2; i++) {
          const out = loss(y);
          out.backward(out.rank === 0 ? undefined : ones([2], { dtype: 'float64' }), { retainGraph: true });
        }
        expect(kept.length).toBe(2);
        for (const { grad: g, was } of kept) expect(values(g)).toEqual(was);
        x.grad!.fill_(77);
        for (const { grad: g, was } of kept) expect(values(g)).toEqual(was);
      });
  it('and writes to changes no gradient elsewhere', () => {
    const [a, b] = [leaf([1, 1]), leaf([1, 1])];
    const [p, q] = [a.mul(1), b.mul(1)];
    p.registerHook(g => void g.mul_(100));
    const given = ones([2], { dtype: 'float64' });
    p.add(q).backward(given);
    expect([values(a.grad), values(b.grad), values(given)]).toEqual([
      [100, 100],
      [1, 1],
      [1, 1],
    ]);
  });
});

describe('results share no memory', () => {
  const memoryOf = (ts: readonly Tensor[]): number => new Set(ts.map(t => t.storage)).size;
  for (const createGraph of [false, true])
    it(createGraph ? 'with createGraph' : 'without createGraph', () => {
      const [a, b, c] = [leaf([1, 2]), leaf([3, 4]), leaf([5, 6])];
      const loss = (): Tensor =>
        a
          .add(b)
          .add(c.reshape([2, 1]).reshape([2]))
          .sum();
      const found = grad(loss(), [a, b, a, c], { createGraph });
      expect(memoryOf(found)).toBe(4);
      loss().backward(undefined, { createGraph });
      const all = [...found, a.grad!, b.grad!, c.grad!];
      expect(memoryOf(all)).toBe(7);
      all.forEach((t, i) => {
        t.detach().fill_(i + 10);
        expect(t.strides).toEqual([1]);
      });
      expect(all.map(values)).toEqual(all.map((_, i) => [i + 10, i + 10]));
    });
  it('of a slice of a gradient: it is copied out of its block', () => {
    const [a, b] = [leaf([1, 2]), leaf([3, 4])];
    stack([a, b]).square().sum().backward();
    expect([a.grad!.storage.bytes, b.grad!.storage.bytes]).toEqual([16, 16]);
    expect(memoryOf([a.grad!, b.grad!])).toBe(2);
  });
  it('of a transposed gradient: .grad is row-major', () => {
    const x = leaf([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const w = tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ]).double();
    x.T.mul(w).sum().backward();
    expect(x.grad!.isContiguous).toBe(true);
    expect(values(x.grad)).toEqual([
      [1, 3, 5],
      [2, 4, 6],
    ]);
  });
});

describe('what a custom backward returns', () => {
  const run = (back: (g: Tensor) => unknown): Tensor => {
    const x = leaf([1, 2]);
    const fn = customFunction({
      name: 'Mine',
      forward: (_, t: Tensor) => t.mul(2),
      backward: (_, g) => back(g) as never,
    });
    fn(x).sum().backward();
    return x.grad!;
  };
  it('is summed and converted as PyTorch does', () => {
    expect(values(run(g => g.expand([3, 2])))).toEqual([3, 3]);
    expect(run(g => g.float()).dtype).toBe('float64');
    expect(values(run(g => g.to('int64')))).toEqual([1, 1]);
    expect(values(run(g => [g, null, undefined]))).toEqual([1, 1]);
    const x = leaf([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const row = leaf([[1, 2, 3]]);
    const product = customFunction({
      forward: (ctx, a: Tensor, b: Tensor) => (ctx.saveForBackward(a, b), a.mul(b)),
      backward: (ctx, g) => [g.mul(ctx.savedTensors[1]!), g.mul(ctx.savedTensors[0]!)],
    });
    product(x, row).sum().backward();
    expect([x.grad!.shape, values(row.grad)]).toEqual([[2, 3], [[5, 7, 9]]]);
  });
  const wrong: [string, (g: Tensor) => unknown, RegExp][] = [
    ['a scalar', g => g.sum(), /MineBackward.*shape \[\] for argument 0 of shape \[2\]/],
    ['too small a gradient', g => g.narrow(0, 0, 1), /MineBackward.*\[1\].*\[2\]/],
    ['a number', () => 5, /MineBackward.*argument 0, returned 5, not a gradient/],
    ['a promise', async (g: Tensor) => g, /MineBackward.*promise/],
    ['two gradients for one argument', g => [g, g], /MineBackward.*2 gradients for 1 arguments/],
    ['no gradient', () => [], /MineBackward.*0 gradients for 1 arguments/],
  ];
  for (const [what, back, message] of wrong)
    it(`is refused: ${what}`, () => {
      expect(() => run(back)).toThrow(CastorError);
      expect(() => run(back)).toThrow(message);
    });
  it('counts zeros for an output that was disposed and got no gradient', () => {
    const pair = customFunction({
      forward: (_, t: Tensor) => [t.mul(2), t.mul(3)],
      backward: (_, a, b) => a!.mul(2).add(b!.mul(3)),
    });
    const x = leaf([1]);
    const [a, b] = pair(x);
    b!.dispose();
    a!.sum().backward();
    expect(values(x.grad)).toEqual([2]);
  });
});

describe('autograd.grad', () => {
  it('computes, and releases, only what lies between outputs and inputs', () => {
    const x = leaf([2]);
    const hidden = x.square();
    let below = 0;
    x.registerHook(() => void below++);
    const loss = hidden.square().sum();
    const [g] = grad(loss, hidden);
    expect([values(g), below]).toEqual([[8], 0]);
    hidden.backward(g!);
    expect([values(x.grad), below]).toEqual([[32], 1]);
  });
  it('gives gradients as the hooks leave them', () => {
    const x = leaf([1]);
    const y = x.mul(2);
    y.registerHook(g => g.mul(10));
    x.registerHook(g => g.neg());
    expect(grad(y.sum(), [y, x]).map(values)).toEqual([[10], [-20]]);
  });
  it('refuses more gradients than outputs, and gradients that are none', () => {
    const x = leaf([1]);
    expect(() => grad(x.sum(), x, { gradOutputs: [undefined, ones([])] })).toThrow(ArgumentError);
    expect(() => grad(x.sum(), x, { gradOutputs: [3 as never] })).toThrow(ArgumentError);
    expect(() => x.backward(5 as never)).toThrow(ArgumentError);
  });
});

describe('a .grad that the user has set', () => {
  it('is added to; undefined is none', () => {
    const x = leaf([1, 2]);
    x.grad = tensor([10, 20]).double();
    x.sum().backward();
    expect(values(x.grad)).toEqual([11, 21]);
    x.grad = undefined as never;
    x.sum().backward();
    expect(values(x.grad)).toEqual([1, 1]);
  });
});

describe('gradients of slices', () => {
  it('of one tensor are added into one buffer', () => {
    const x = leaf(Array.from({ length: 64 }, (_, i) => [i, -i]));
    const loss = stack(x.unbind(0))
      .mul(full([64, 2], 3, { dtype: 'float64' }))
      .sum();
    const before = memory.stats().allocations;
    loss.backward();
    expect(memory.stats().allocations - before).toBeLessThan(20);
    expect(values(x.grad)).toEqual(Array.from({ length: 64 }, () => [3, 3]));
  });
  it('of one tensor are added into one buffer with createGraph, and in the backward of that', () => {
    const n = 64;
    const x = leaf(Array.from({ length: n }, (_, i) => [i + 1, -i - 1]));
    const count = (fn: () => void): number => {
      const before = memory.stats().allocations;
      fn();
      return memory.stats().allocations - before;
    };
    const loss = stack(x.unbind(0)).pow(3).sum();
    let g!: Tensor;
    // A few for each slice at most, none of them as large as x.
    expect(count(() => ([g] = grad(loss, x, { createGraph: true }) as [Tensor]))).toBeLessThan(3 * n);
    expect(values(g)).toEqual(Array.from({ length: n }, (_, i) => [3 * (i + 1) ** 2, 3 * (i + 1) ** 2]));
    expect(count(() => g.sum().backward())).toBeLessThan(3 * n);
    expect(values(x.grad)).toEqual(Array.from({ length: n }, (_, i) => [6 * (i + 1), -6 * (i + 1)]));
  });
  it('that overlap, step and run backwards add up', () => {
    const x = leaf([1, 2, 3, 4]);
    const parts = [x.slice(0, 0, 3), x.slice(0, 1, 4), x.slice(0, null, null, -2), x.narrow(0, 2, 1), x];
    parts
      .map((part, i) => part.mul(10 ** i).sum())
      .reduce((a, b) => a.add(b))
      .backward();
    expect(values(x.grad)).toEqual([10001, 10111, 11011, 10110]);
  });
  it('leave a gradient alone that somebody else holds', () => {
    const x = leaf([1, 2]);
    const y = x.mul(1);
    let kept!: Tensor;
    const z = y.mul(2);
    z.registerHook(g => void (kept = g));
    z.sum().add(y.select(0, 0)).add(y.select(0, 1)).backward();
    expect([values(kept), values(x.grad)]).toEqual([
      [1, 1],
      [3, 3],
    ]);
  });
});

describe('a throw in the middle', () => {
  test('leaves nothing held, and the graph can run again', () => {
    memory.collect();
    const before = live();
    tidy(() => {
      const x = leaf([1, 2]);
      let fail = true;
      const custom = customFunction({
        forward: (ctx, t: Tensor) => {
          ctx.saveForBackward(t);
          return [t.mul(2), t.mul(3)];
        },
        backward: (ctx, a, b) => {
          if (fail) throw new Error('stop');
          return a!.mul(2).add(b!.mul(3)).mul(ctx.savedTensors[0]!);
        },
      });
      const [a, b] = custom(x.mul(1));
      const loss = a!.exp().log().add(b!).sum();
      const used = live();
      for (let i = 0; i < 3; i++) {
        tidy(() => expect(() => loss.backward(undefined, { retainGraph: true })).toThrow('stop'));
        expect(live()).toBe(used);
      }
      fail = false;
      loss.backward();
      expect(x.grad!).toBeAllclose(tensor([5, 10]).double());
      x.grad!.dispose();
    });
    expect(live()).toBe(before);
  });
});

describe('memory of results', () => {
  it('is not that of a gradient which the caller has given', () => {
    const x = leaf([1, 2]);
    const given = tensor([3, 4]).double();
    const [g] = grad(x.reshape([2]), x, { gradOutputs: [given] });
    g!.fill_(0);
    expect(values(given)).toEqual([3, 4]);
    x.reshape([2]).backward(given);
    x.grad!.fill_(0);
    expect(values(given)).toEqual([3, 4]);
  });
  it('is no larger than the result: not a block of which it is a part', () => {
    const x = leaf([1, 2]);
    const wide = (): Tensor =>
      cat([x, zeros([6], { dtype: 'float64' })])
        .square()
        .sum();
    expect(grad(wide(), x)[0]!.storage.bytes).toBe(16);
    wide().backward();
    expect(x.grad!.storage.bytes).toBe(16);
  });
  it('of a retained gradient is its own', () => {
    const x = leaf([1, 2]);
    const y = x.reshape([2, 1]).retainGrad();
    y.square().sum().backward();
    y.grad!.fill_(0);
    expect(values(x.grad)).toEqual([2, 4]);
  });
});

describe('graphs and tidy scopes', () => {
  const deep = (t: Tensor): Tensor => t.mul(2).square();
  it('a write makes the graph of what is outside outlive all scopes around', () => {
    const x = leaf([1, 2]);
    const [sum, part] = [zeros([2], { dtype: 'float64' }), zeros([2, 2], { dtype: 'float64' })];
    tidy(() => tidy(() => void sum.add_(deep(x))));
    tidy(() => tidy(() => void part.select(0, 1).copy_(deep(x))));
    sum.sum().add(part.sum()).backward();
    expect(values(x.grad)).toEqual([16, 32]);
  });
  it('what is kept keeps its graph', () => {
    const x = leaf([1, 2]);
    let kept!: Tensor;
    tidy(() => tidy(() => void (kept = keep(deep(x)))));
    kept.sum().backward();
    expect(values(x.grad)).toEqual([8, 16]);
    kept.dispose();
  });
  it('gradients with a graph keep it, on leaves and where they are retained', () => {
    for (const retained of [false, true]) {
      const x = leaf([1, 2]);
      const y = x.mul(1);
      if (retained) y.retainGrad();
      tidy(() => tidy(() => deep(y).mul(y).sum().backward(undefined, { createGraph: true })));
      const first = (retained ? y : x).grad!;
      expect(values(first)).toEqual([12, 48]);
      expect(values(grad(first.sum(), x)[0])).toEqual([24, 48]);
    }
  });
  it('a checkpoint lets its arguments go when it has run backwards', () => {
    const x = leaf([1, 2]);
    const argument = x.mul(3);
    const loss = checkpoint((t: Tensor) => deep(t).sum(), argument);
    const before = live();
    argument.dispose();
    expect(live()).toBe(before);
    loss.backward();
    expect(values(x.grad)).toEqual([72, 144]);
    // The argument has been freed, the gradient has been added.
    expect(live()).toBe(before);
    const other = leaf([1, 2]).mul(3);
    const { refCount } = other.storage;
    checkpoint((t: Tensor) => t.square().sum(), other).backward();
    expect(other.storage.refCount).toBe(refCount);
    const nothingSaved = checkpoint((t: Tensor) => t.reshape([2, 1]).neg(), other);
    expect(other.storage.refCount).toBe(refCount);
    expect(values(grad(nothingSaved.sum(), other)[0])).toEqual([-1, -1]);
  });
  it('gradients with a graph keep it where autograd.grad fills retained ones', () => {
    const x = leaf([1, 2]);
    const y = x.mul(1).retainGrad();
    tidy(() => tidy(() => void grad(deep(y).mul(y).sum(), x, { createGraph: true })));
    expect(values(grad(y.grad!.sum(), x)[0])).toEqual([24, 48]);
  });
  it('an operand that was copied because it overlaps what is written goes at once', () => {
    const t = tensor([1, 2, 3]);
    const before = live();
    t.sub_(t.slice(0, null, null, -1));
    t.copy_(t.slice(0, null, null, -1));
    expect([values(t), live()]).toEqual([[2, 0, -2], before]);
  });
  it('a custom function that throws, or gives nothing that has a gradient, holds nothing', () => {
    const x = leaf([1, 2]);
    const { refCount } = x.storage;
    const saving = (forward: (t: Tensor) => unknown) =>
      customFunction({
        forward: (ctx, t: Tensor) => (ctx.saveForBackward(t), forward(t) as Tensor),
        backward: (_, g) => g,
      });
    const fail = (): never => {
      throw new Error('stop');
    };
    expect(() => saving(fail)(x)).toThrow('stop');
    expect(() => saving(() => 5)(x)).toThrow(AutogradError);
    expect(() => saving(async t => t)(x)).toThrow(/async/);
    expect(saving(t => t.argmax())(x).requiresGrad).toBe(false);
    expect(x.storage.refCount).toBe(refCount);
    expect(saving(t => t.mul(2))(x).requiresGrad).toBe(true);
    expect(x.storage.refCount).toBe(refCount + 1);
  });
  it('gradients with a graph add up to new tensors, with the history of both', () => {
    const x = leaf([1, 2]);
    x.pow(2).sum().backward(undefined, { createGraph: true });
    const first = x.grad!;
    x.pow(3).sum().backward(undefined, { createGraph: true });
    expect([values(first), values(x.grad)]).toEqual([
      [2, 4],
      [5, 16],
    ]);
    expect(values(grad(x.grad!.sum(), x)[0])).toEqual([8, 14]);
  });
  it('a checkpoint notices what was changed in place before it is run again, arguments and others', () => {
    for (const which of [0, 1]) {
      const [x, w] = [leaf([1, 2]).mul(1), leaf([3, 4])];
      const loss = checkpoint((t: Tensor) => t.mul(w).sin().sum(), x);
      noGrad(() => [x, w][which]!.add_(1));
      expect(() => loss.backward()).toThrow(/checkpoint: a tensor that backward needs was changed in place/);
    }
  });
  test('detach() lets the graph go: a chain of detached steps does not grow', () => {
    memory.collect();
    const before = live();
    const w = tensor([0.5, 0.5], { requiresGrad: true });
    let h: Tensor = ones([2]);
    for (let i = 0; i < 500; i++) h = h.detach().view([2]).mul(w).tanh();
    memory.collect();
    expect(live()).toBeLessThan(before + 100);
    for (const t of [w, h]) t.dispose();
  });
  it('a checkpoint that throws holds nothing', () => {
    const argument = leaf([1, 2]).mul(3);
    const { refCount } = argument.storage;
    const fail = (_: Tensor): never => {
      throw new Error('stop');
    };
    expect(() => checkpoint(fail, argument)).toThrow('stop');
    expect(() => checkpoint(async (t: Tensor) => t, argument)).toThrow(/async/);
    expect(argument.storage.refCount).toBe(refCount);
  });
  test('training steps of every kind leave as much as they found', () => {
    const x = leaf([1, 2, 3, 4]);
    const scaled = customFunction({
      forward: (ctx, t: Tensor) => (ctx.saveForBackward(t), [t.mul(2), t.view([2, 2])]),
      backward: (ctx, a, b) => a!.mul(2).add(b!.reshape([4]).mul(ctx.savedTensors[0]!)),
    });
    const step = (): void => {
      const y = x.mul(1);
      const buffer = zeros([4, 4], { dtype: 'float64' });
      y.unbind(0).forEach((part, i) => buffer.select(0, i).add_(part));
      buffer.T.select(0, 1).mul_(y).exp_();
      const [a, b] = scaled(buffer.select(1, 1).log());
      const out = checkpoint((t: Tensor) => deep(t.sin().sin_()), y.mul(2));
      y.registerHook(g => g.mul(2));
      const loss = cat([a!, b!.reshape([4]), out]).sum();
      const [g] = grad(loss, y, { createGraph: true });
      loss.add(g!.square().sum()).backward();
      x.grad = null;
    };
    tidy(step);
    memory.collect();
    const { liveStorages, liveBytes } = memory.stats();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 20; i++) tidy(step);
      memory.collect();
      expect(memory.stats().liveStorages).toBeLessThanOrEqual(liveStorages + 4);
      expect(memory.stats().liveBytes).toBeLessThanOrEqual(liveBytes + 1024);
    }
    x.dispose();
  });
});
