/**
 * Shows why float16 needs a GradScaler: three trainings of one network with tiny gradients, as they occur in deep
 * networks and with means over many elements. In float16 without a scaler the gradients become 0 in backward and
 * nothing is learned; with a scaler, float16 learns like float32.
 * Run it with: bun examples/underflow.ts
 */
import { autocast, F, GradScaler, manualSeed, nn, optim, randn, tidy, warnings, type Tensor } from 'castor';

const STEPS = 60;
/** The loss is multiplied by this, and the learning rate divided by it: in float32 this changes nothing. */
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

// Castor warns of training in float16 without a scaler, which this program does on purpose.
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

/** Plots losses over steps, with one letter for each run. Later runs are drawn over earlier ones. */
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
