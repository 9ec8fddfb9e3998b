/**
 * Why float16 needs a GradScaler: three trainings of one net on gradients that are tiny, as deep nets and long means make them.
 * In float16 without a scaler they become 0 on the way back and nothing is learnt; with one, float16 learns as float32 does.
 * Run it with: bun examples/underflow.ts
 */
import { autocast, F, GradScaler, manualSeed, nn, optim, randn, tidy, warnings, type Tensor } from 'castor';

const STEPS = 60;
/** The loss is this small, and the learning rate so much larger: in float32 nothing changes. */
const TINY = 2 ** -18;

interface Run {
  name: string;
  low: boolean;
  scaled: boolean;
}
const runs: readonly Run[] = [
  { name: 'float32', low: false, scaled: false },
  { name: 'float16, scaler', low: true, scaled: true },
  { name: 'float16, no scaler', low: true, scaled: false },
];

// Castor warns of a training in float16 without a scaler. Here it is what is shown.
warnings.disable('CASTOR_FLOAT16_UNSCALED');

function train({ low, scaled }: Run): number[] {
  manualSeed(1);
  const model = new nn.Sequential(new nn.Linear(16, 32), new nn.Tanh(), new nn.Linear(32, 1));
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 / TINY });
  const scaler = new GradScaler({ enabled: scaled, initScale: 2 ** 18 });
  const x = randn([512, 16]);
  const y = x.at(':, :4').sum(1, { keepdim: true }).sin();
  return Array.from({ length: STEPS }, () =>
    tidy(() => {
      optimizer.zeroGrad();
      const forward = (): Tensor => F.mseLoss(model.forward(x) as Tensor, y);
      const loss = low ? autocast({ dtype: 'float16' }, forward) : forward();
      scaler.scale(loss.mul(TINY)).backward();
      scaler.step(optimizer);
      scaler.update();
      return loss.itemSync();
    }),
  );
}

/** Losses over steps, one letter a run; later runs are drawn over earlier ones. */
function plot(curves: readonly (readonly number[])[], height = 12): string {
  const all = curves.flat();
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const rows = Array.from({ length: height }, () => Array<string>(STEPS).fill(' '));
  curves.forEach((losses, run) =>
    losses.forEach((loss, step) => {
      const row = Math.round(((high - loss) / (high - low)) * (height - 1));
      rows[row]![step] = String.fromCharCode(65 + run);
    }),
  );
  const label = (i: number): string =>
    (i === 0 ? high : i === height - 1 ? low : NaN).toFixed(3).replace('NaN', '     ');
  return rows.map((row, i) => `${label(i)} |${row.join('').trimEnd()}`).join('\n');
}

const curves = runs.map(train);
console.log(plot(curves));
runs.forEach(({ name }, i) => {
  const [first, last] = [curves[i]![0]!, curves[i]!.at(-1)!];
  console.log(`${String.fromCharCode(65 + i)}: ${name.padEnd(18)} loss ${first.toFixed(4)} -> ${last.toFixed(4)}`);
});

// Expected: B (float16 with a scaler) falls and hides A (float32), on which it lies; C stays at the top, a straight line.
