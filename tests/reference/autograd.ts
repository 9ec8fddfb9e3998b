/**
 * A reference for reverse-mode differentiation, one number at a time: a tensor is a list of scalars, memory is a list
 * of cells that contain scalars, and a view is a list of positions in that memory. Gradients are scalars too, so that
 * they can be differentiated again.
 */
export class Scalar {
  readonly value: number;
  readonly from: readonly Scalar[];
  /** The gradients of `from` for a gradient of this scalar. */
  readonly back: (g: Scalar) => readonly Scalar[];
  /** The factors by which hooks multiply the gradient. */
  factor = 1;

  constructor(value: number, from: readonly Scalar[] = [], back: (g: Scalar) => readonly Scalar[] = () => []) {
    this.value = value;
    this.from = from;
    this.back = back;
  }
}

export const constant = (value: number): Scalar => new Scalar(value);
export const same = (a: Scalar): Scalar => new Scalar(a.value, [a], g => [g]);
export const add = (a: Scalar, b: Scalar): Scalar => new Scalar(a.value + b.value, [a, b], g => [g, g]);
export const mul = (a: Scalar, b: Scalar): Scalar => new Scalar(a.value * b.value, [a, b], g => [mul(g, b), mul(g, a)]);
export const scale = (a: Scalar, c: number): Scalar => new Scalar(a.value * c, [a], g => [scale(g, c)]);
export const sub = (a: Scalar, b: Scalar): Scalar => add(a, scale(b, -1));
export const sin = (a: Scalar): Scalar => new Scalar(Math.sin(a.value), [a], g => [mul(g, cos(a))]);
export const cos = (a: Scalar): Scalar => new Scalar(Math.cos(a.value), [a], g => [scale(mul(g, sin(a)), -1)]);
export const square = (a: Scalar): Scalar => mul(a, a);

/** The gradients of a scalar with respect to every scalar that it depends on. */
export function gradients(root: Scalar): Map<Scalar, Scalar> {
  const order: Scalar[] = [];
  const seen = new Set<Scalar>();
  const stack: [scalar: Scalar, next: number][] = [[root, 0]];
  seen.add(root);
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const below = top[0].from[top[1]++];
    if (below === undefined) order.push(stack.pop()![0]);
    else if (!seen.has(below)) {
      seen.add(below);
      stack.push([below, 0]);
    }
  }
  const found = new Map<Scalar, Scalar>([[root, constant(1)]]);
  for (const scalar of order.reverse()) {
    let g = found.get(scalar)!;
    if (scalar.factor !== 1) g = scale(g, scalar.factor);
    found.set(scalar, g);
    scalar.back(g).forEach((part, i) => {
      const input = scalar.from[i]!;
      const before = found.get(input);
      found.set(input, before === undefined ? part : add(before, part));
    });
  }
  return found;
}

/** A tensor of the reference: memory of its own, or a view of another tensor's memory. */
export class Cells {
  readonly shape: readonly number[];
  readonly root: Cells;
  readonly #parent: Cells | null;
  /** The positions of its elements in the parent. */
  readonly #places: readonly number[];
  #scalars: Scalar[];
  /** The number of writes to the root. When it has changed, a view reads its parent again. */
  #writes = 0;
  #retained = false;
  /** The scalars whose gradients retainGrad keeps, or null. */
  kept: readonly Scalar[] | null = null;

  constructor(
    shape: readonly number[],
    scalars: Scalar[],
    parent: Cells | null = null,
    places: readonly number[] = [],
  ) {
    this.shape = shape;
    this.#scalars = scalars;
    this.#parent = parent;
    this.#places = places;
    this.root = parent?.root ?? this;
    this.#writes = this.root.#writes;
  }

  view(shape: readonly number[], places: readonly number[]): Cells {
    const mine = this.scalars;
    return new Cells(
      shape,
      places.map(place => same(mine[place]!)),
      this,
      places,
    );
  }

  /** The current values. */
  get scalars(): readonly Scalar[] {
    if (this.#parent !== null && this.#writes !== this.root.#writes) {
      this.#writes = this.root.#writes;
      const theirs = this.#parent.scalars;
      this.#scalars = this.#places.map(place => same(theirs[place]!));
      if (this.#retained) this.kept = this.#scalars;
    }
    return this.#scalars;
  }
  get values(): number[] {
    return this.scalars.map(scalar => scalar.value);
  }

  /** Overwrites the elements. Other views see the new values; results that were computed before do not change. */
  write(scalars: readonly Scalar[]): void {
    const { root } = this;
    const at = this.#inRoot();
    const next = root.#scalars.map(same);
    at.forEach((place, i) => (next[place] = same(scalars[i]!)));
    root.#scalars = next;
    root.#writes++;
    if (root.#retained) root.kept = next;
    if (this !== root) this.kept = null;
  }
  #inRoot(): readonly number[] {
    if (this.#parent === null) return this.#scalars.map((_, i) => i);
    const outer = this.#parent.#inRoot();
    return this.#places.map(place => outer[place]!);
  }

  hook(factor: number): void {
    for (const scalar of this.scalars) scalar.factor *= factor;
  }
  retain(): void {
    this.#retained = true;
    this.kept = this.scalars;
  }
}
