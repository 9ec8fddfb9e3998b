import { describe, expect, test } from 'bun:test';
import { autograd, AutogradError, fromTypedArray, noGrad, stack, tidy, type Device, type Tensor } from 'castor';
import { devices } from './setup.ts';
import { Cells, constant, gradients, mul, scale, sin, square, sub, add, type Scalar } from './reference/autograd.ts';
import { chance, choose, seeded, whole, type Random } from './reference/randomness.ts';

/** A tensor with the corresponding tensor of the reference. */
interface Pair {
  readonly t: Tensor;
  readonly r: Cells;
}
interface Graph {
  readonly pairs: Pair[];
  readonly leaves: Pair[];
  readonly retained: Set<Pair>;
}

const SHAPE = [2, 3];
const make = (values: number[], shape: readonly number[], device: Device): Tensor =>
  fromTypedArray(Float64Array.from(values), [...shape], { device });
const draw = (random: Random, n: number): number[] => Array.from({ length: n }, () => 0.5 + random());

function start(random: Random, device: Device): Graph {
  const leaves = [0, 1].map((): Pair => {
    const values = draw(random, 6);
    return { t: make(values, SHAPE, device).requiresGrad_(), r: new Cells(SHAPE, values.map(constant)) };
  });
  const values = draw(random, 6);
  const plain: Pair = { t: make(values, SHAPE, device), r: new Cells(SHAPE, values.map(constant)) };
  const [a, b] = leaves as [Pair, Pair];
  return { pairs: [a, b, plain, binary('mul', a, b), unary('sin', a)], leaves, retained: new Set() };
}

const unaries = { sin, square, neg: (a: Scalar) => scale(a, -1) };
const binaries = { add, sub, mul };
type Unary = keyof typeof unaries;
type Binary = keyof typeof binaries;
const withShape = (t: Tensor, scalars: Scalar[]): Pair => ({ t, r: new Cells(t.shape, scalars) });
const unary = (name: Unary, { t, r }: Pair): Pair => withShape(t[name](), r.scalars.map(unaries[name]));
const zip = (name: Binary, a: Cells, b: Cells): Scalar[] =>
  a.scalars.map((scalar, i) => binaries[name](scalar, b.scalars[i]!));
const binary = (name: Binary, a: Pair, b: Pair): Pair => withShape(a.t[name](b.t), zip(name, a.r, b.r));

/** A view. The positions of its elements in its parent are found by making the same view of the numbers 0, 1, 2 ... */
function viewOf(random: Random, { t, r }: Pair): Pair {
  const axis = whole(random, 0, t.rank - 1);
  const size = t.shape[axis]!;
  const views: ((x: Tensor) => Tensor)[] = [
    x => x.select(axis, size - 1),
    x => x.narrow(axis, size - 1, 1),
    x => x.slice(axis, null, null, -1),
    x => x.slice(axis, 0, size, 2),
    x => x.transpose(0, x.rank - 1),
    x => x.unsqueeze(axis),
    x => x.unsqueeze(0).expand([2, ...x.shape]),
    x => x.unbind(axis)[0]!,
    x => x.split(1, axis).at(-1)!,
  ];
  if (t.isContiguous)
    views.push(
      x => x.view([x.numel]),
      x => x.view([x.numel, 1]),
    );
  const made = choose(random, t.rank === 0 ? [(x: Tensor) => x.unsqueeze(0)] : views);
  const shown = make(
    r.values.map((_, i) => i),
    t.shape,
    t.device,
  );
  const v = made(t);
  return { t: v, r: r.view(v.shape, [...made(shown).dataSync()] as number[]) };
}

const writable = ({ t, r }: Pair, { leaves }: Graph): boolean =>
  !leaves.some(leaf => leaf.r === r.root) && !t.strides.some((stride, axis) => stride === 0 && t.shape[axis]! > 1);

function writeTo(random: Random, target: Pair, graph: Graph): void {
  const { t, r } = target;
  const other = choose(
    random,
    graph.pairs.filter(({ t: o }) => String(o.shape) === String(t.shape)),
  );
  const choice = whole(random, 0, 4);
  if (choice === 0) {
    const name = choose(random, Object.keys(unaries) as Unary[]);
    t[`${name}_`]();
    r.write(r.scalars.map(unaries[name]));
  } else if (choice === 1) {
    t.copy_(other.t);
    // Copying a tensor to itself changes nothing.
    if (other !== target) r.write(other.r.scalars);
  } else if (choice === 2) {
    t.fill_(2);
    r.write(r.scalars.map(() => constant(2)));
  } else {
    const name = choose(random, Object.keys(binaries) as Binary[]);
    t[`${name}_`](other.t);
    r.write(zip(name, r, other.r));
  }
}

/** One step of a random program. A write that Castor copies an operand for is the same in the reference, which reads before it writes. */
function grow(random: Random, graph: Graph): void {
  const { pairs } = graph;
  const pair = choose(random, pairs);
  const alike = pairs.filter(({ t }) => String(t.shape) === String(pair.t.shape));
  const at = random();
  if (at < 0.3) pairs.push(viewOf(random, pair));
  else if (at < 0.45) pairs.push(unary(choose(random, Object.keys(unaries) as Unary[]), pair));
  else if (at < 0.65)
    pairs.push(binary(choose(random, Object.keys(binaries) as Binary[]), pair, choose(random, alike)));
  else if (at < 0.7)
    pairs.push({ t: pair.t.detach().clone(), r: new Cells(pair.r.shape, pair.r.values.map(constant)) });
  else if (at < 0.75 && pair.t.requiresGrad) {
    pair.t.registerHook(g => g.mul(3));
    pair.r.hook(3);
  } else if (at < 0.8 && pair.t.requiresGrad && !pair.t.isLeaf) {
    pair.t.retainGrad();
    pair.r.retain();
    graph.retained.add(pair);
  } else if (writable(pair, graph)) writeTo(random, pair, graph);
}

/** A number that depends on some of the tensors, with weights. */
function lossOf(random: Random, { pairs }: Graph): { t: Tensor; r: Scalar } {
  const chosen = [pairs[3]!, ...Array.from({ length: 3 }, () => choose(random, pairs))];
  const parts = chosen.map(({ t }, n) => t.mul(n + 1).sum());
  const numbers = chosen.flatMap(({ r }, n) => r.scalars.map(scalar => scale(scalar, n + 1)));
  return { t: parts.reduce((a, b) => a.add(b)), r: numbers.reduce(add) };
}

const expected = (r: readonly Scalar[], found: Map<Scalar, Scalar>): number[] =>
  r.map(scalar => found.get(scalar)?.value ?? 0);
function expectClose(t: Tensor | null, values: number[], what: string): void {
  const actual = t === null ? values.map(() => 0) : [...t.dataSync()].map(Number);
  const worst = Math.max(...actual.map((x, i) => Math.abs(x - values[i]!) / Math.max(1, Math.abs(values[i]!))));
  if (!(worst < 1e-9)) expect(actual, what).toEqual(values);
}

/** Writes another number to each result. The other results must not change. */
function expectApart(results: readonly Tensor[]): void {
  results.forEach((t, i) => noGrad(() => t.detach().fill_(i + 0.5)));
  results.forEach((t, i) => {
    for (const value of t.dataSync())
      if (value !== i + 0.5) expect(value, `result ${i} of ${results.length}`).toBe(i + 0.5);
  });
}

const changedInPlace = (error: unknown): boolean =>
  error instanceof AutogradError && /changed in place/.test(error.message);

/** Runs a program. Returns false if a value that backward needs was overwritten, which is an error and not compared. */
function trial(seed: number, device: Device, count: { right: number }): void {
  const random = randomOf(seed);
  const graph = start(random, device);
  for (let i = whole(random, 4, 14); i > 0; i--) grow(random, graph);
  const { leaves, retained, pairs } = graph;
  pairs.forEach(({ t, r }, i) => expectClose(t.detach(), r.values, `value of tensor ${i}, seed ${seed}`));
  const loss = lossOf(random, graph);
  const found = gradients(loss.r);
  const inputs = leaves.map(({ t }) => t);
  const kept: { grad: Tensor; was: string }[] = [];
  const keepers = pairs
    .filter(({ t }) => t.requiresGrad && chance(random, 0.3))
    .map(({ t }) => t.registerHook(g => void kept.push({ grad: g, was: String(g.toArraySync()) })));
  const results: Tensor[] = [];
  const once = (): void => {
    const given = autograd.grad(loss.t, [...inputs, inputs[0]!], { retainGraph: true, allowUnused: true });
    given.forEach((g, i) => expectClose(g, expected(leaves[i % 2]!.r.scalars, found), `gradient ${i}, seed ${seed}`));
    results.push(...given.filter(g => g !== null));
  };
  try {
    once();
    fail(random, graph, loss.t);
    nested(random, graph, loss.t, once);
    for (const { t } of retained) t.grad = null;
    loss.t.backward(undefined, { retainGraph: true });
  } catch (error) {
    if (!changedInPlace(error)) throw error;
    return;
  }
  count.right++;
  leaves.forEach(({ t, r }, i) => expectClose(t.grad, expected(r.scalars, found), `.grad ${i}, seed ${seed}`));
  for (const { t, r } of retained)
    if (r.kept !== null) expectClose(t.grad, expected(r.kept, found), `retained, seed ${seed}`);
  for (const { grad, was } of kept) expect(String(grad.toArraySync()), `kept, seed ${seed}`).toBe(was);
  keepers.forEach(remove => remove());
  second(loss, graph, found, results, seed);
  expectApart(
    [
      ...new Set([
        ...results,
        ...kept.map(({ grad }) => grad),
        ...[...retained].map(({ t }) => t.grad),
        ...inputs.map(t => t.grad),
      ]),
    ].filter(t => t !== null),
  );
}

/** Makes backward fail half way, at some tensor. Afterwards nothing of it may be left. */
function fail(random: Random, { pairs }: Graph, loss: Tensor): void {
  const at = choose(
    random,
    pairs.filter(({ t }) => t.requiresGrad),
  );
  const remove = at.t.registerHook(() => {
    throw new Error('stop');
  });
  const before = pairs.map(({ t }) => t.grad);
  try {
    autograd.grad(loss, [pairs[0]!.t, pairs[1]!.t], { retainGraph: true, allowUnused: true });
  } catch (error) {
    if ((error as Error).message !== 'stop') throw error;
  }
  remove();
  pairs.forEach(({ t }, i) => void (t.isLeaf && expect(t.grad).toBe(before[i]!)));
}

/** Runs another backward pass within a backward pass, at some tensor. */
function nested(random: Random, { pairs }: Graph, loss: Tensor, once: () => void): void {
  const at = choose(
    random,
    pairs.filter(({ t }) => t.requiresGrad),
  );
  let inside = false;
  const remove = at.t.registerHook(() => {
    if (inside) return;
    inside = true;
    once();
    inside = false;
  });
  autograd.grad(loss, [pairs[0]!.t, pairs[1]!.t], { retainGraph: true, allowUnused: true });
  remove();
}

/** The gradients of the gradients. */
function second(
  loss: { t: Tensor },
  { leaves }: Graph,
  found: Map<Scalar, Scalar>,
  results: Tensor[],
  seed: number,
): void {
  const inputs = leaves.map(({ t }) => t);
  const first = autograd.grad(loss.t, inputs, { createGraph: true, allowUnused: true });
  first.forEach((g, i) => expectClose(g, expected(leaves[i]!.r.scalars, found), `createGraph ${i}, seed ${seed}`));
  results.push(...first.filter(g => g !== null));
  const used = first.filter(g => g?.requiresGrad) as Tensor[];
  if (used.length === 0) return;
  const scalars = first.flatMap((g, i) =>
    g?.requiresGrad ? leaves[i]!.r.scalars.map(s => found.get(s) ?? constant(0)) : [],
  );
  const again = gradients(scalars.reduce(add));
  const sum = stack(used.map(g => g.sum())).sum();
  const found2 = autograd.grad(sum, inputs, { allowUnused: true });
  found2.forEach((g, i) => expectClose(g, expected(leaves[i]!.r.scalars, again), `second ${i}, seed ${seed}`));
  results.push(...found2.filter(g => g !== null));
}

const { seed: base } = seeded();
/** Each program has a random stream of its own, so that it can be run alone. */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

describe.each([...devices])('random graphs with views, writes, hooks and runs within runs, on %s,', device => {
  test('have the gradients of the reference, of both orders, or throw; and results share no memory', () => {
    const count = { right: 0 };
    const trials = device.startsWith('cpu') ? 400 : 60;
    for (let i = 0; i < trials; i++) tidy(() => trial(base * 100_000 + i, device, count));
    expect(count.right).toBeGreaterThan(trials / 3);
  });
});
