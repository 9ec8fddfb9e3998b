import { expect, test } from 'bun:test';
import { CastorError, GradScaler, nn, optim, tensor, warnings, type Tensor } from 'castor';
import { Dice } from './dice.ts';
import { sized } from './setup.ts';

/**
 * Random calls of two scalers and two optimizers over three parameters. Every loss is a sum of parameters, so that the
 * true gradient of each parameter is the number of backward passes that have reached it.
 */
class Program {
  readonly said: string[] = [];
  applied = 0;
  readonly #dice: Dice;
  readonly #weights: Tensor[] = Array.from({ length: 3 }, () => nn.Parameter(tensor([100])));
  readonly #truth: (number | null)[] = [null, null, null];
  readonly #optimizers = [0, 1].map(i => new optim.SGD(this.#weights.slice(i, i + 2), { lr: 1 }));
  readonly #scalers = [new GradScaler({ initScale: 8, growthInterval: 1 }), new GradScaler({ initScale: 32 })];

  constructor(seed: number) {
    this.#dice = new Dice(seed);
    for (let i = 4 + this.#draw(14); i > 0; i--) this.#act();
    for (const optimizer of this.#optimizers) optimizer.zeroGrad();
    for (const w of this.#weights) w.dispose();
  }

  #draw(n: number): number {
    return this.#dice.below(n);
  }
  #act(): void {
    const [i, o, s] = [this.#draw(3), this.#draw(2), this.#draw(6) === 0 ? 1 : 0];
    const [optimizer, scaler] = [this.#optimizers[o]!, this.#scalers[s]!];
    const acts: (() => void)[] = [
      () => this.#backward(s, [i]),
      () => this.#backward(s, [i]),
      () => this.#backward(s, [0, 1, 2]),
      () => this.#backward(null, [i]),
      () => this.#say(`unscale ${o} by ${s}`, () => scaler.unscale(optimizer)),
      () => this.#say(`update ${s}`, () => scaler.update()),
      () => this.#zero(o),
      () => this.#copy(i, this.#draw(3)),
      () => this.#step(o, `step ${o} by ${s}`, () => scaler.step(optimizer)),
      () => this.#step(o, `step ${o} by ${s}`, () => scaler.step(optimizer)),
      () => this.#step(o, `step ${o}`, () => optimizer.step()),
    ];
    acts[this.#draw(acts.length)]!();
  }

  /** Records a call, and returns whether it succeeded. It may only fail with a Castor error. */
  #say(what: string, call: () => unknown): boolean {
    this.said.push(what);
    try {
      call();
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(CastorError);
      return false;
    }
  }
  #backward(scaler: number | null, which: number[]): void {
    const loss = which.map(i => this.#weights[i]!.sum()).reduce((a, b) => a.add(b));
    const start = scaler === null ? loss : this.#scalers[scaler]!.scale(loss);
    this.#say(`backward of ${which} scaled by ${scaler}`, () => start.backward());
    for (const i of which) this.#truth[i] = (this.#truth[i] ?? 0) + 1;
  }
  #zero(o: number): void {
    this.#say(`zeroGrad ${o}`, () => this.#optimizers[o]!.zeroGrad());
    this.#truth[o] = this.#truth[o + 1] = null;
  }
  #copy(from: number, to: number): void {
    const { grad } = this.#weights[from]!;
    if (grad === null || from === to) return;
    this.#say(`copy gradient ${from} to ${to}`, () => (this.#weights[to]!.grad = grad.clone()));
    this.#truth[to] = this.#truth[from]!;
  }
  /** A successful step must change each parameter by its true gradient. */
  #step(o: number, what: string, step: () => unknown): void {
    const own = [o, o + 1];
    const before = own.map(i => this.#weights[i]!.itemSync());
    if (!this.#say(what, step)) return;
    this.applied++;
    const moved = own.map((i, at) => before[at]! - this.#weights[i]!.itemSync());
    const right = own.map(i => this.#truth[i] ?? 0);
    expect({ said: this.said, moved }).toEqual({ said: this.said, moved: right });
  }
}

test('whatever the order of calls, a step that is not refused applies the true gradients', () => {
  warnings.disable();
  try {
    let applied = 0;
    const programs = sized(600, 60);
    for (let i = 1; i <= programs; i++) applied += new Program(i * 7919).applied;
    expect(applied).toBeGreaterThan(programs / 6);
  } finally {
    warnings.enable();
  }
});
