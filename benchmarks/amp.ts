import { autocast, F, GradScaler, memory, nn, noGrad, optim, randn, tensor, tidy } from '../runtime/index.ts';
import { multiUnscale, updateScale } from '../runtime/dispatch/multi.ts';
import type { Part } from './bench.ts';
import type { Clock } from './clocks.ts';
import { interleaved } from './measure.ts';

const CALLS = 200;
/** The nanoseconds by which the second of two functions takes longer than the first. Each is a loop of CALLS. */
const extra =
  (clock: Clock) =>
  (plain: () => void, measured: () => void): number => {
    const times = interleaved([plain, measured], 1000, clock);
    return ((times[1]! - times[0]!) / CALLS) * 1e9;
  };
const loop = (fn: () => void) => () => tidy(() => noGrad(() => repeat(fn)));
function repeat(fn: () => void): void {
  for (let i = 0; i < CALLS; i++) fn();
}

/**
 * The time that autocast without reporting adds to an op that needs no cast, to a product whose weight is cached, and
 * for a scope.
 */
export const overheads: Part = bench => {
  const added = extra(bench.clock);
  const a = randn([8]);
  const add = (): void => a.add(a).dispose();
  const w = nn.Parameter(randn([4, 4]));
  const low = { x: randn([1, 4]).to('bfloat16'), w: w.detach().to('bfloat16') };
  const inside =
    (fn: () => void): (() => void) =>
    () =>
      autocast({ dtype: 'bfloat16' }, loop(fn));
  const nothing = (): void => {};
  return [
    { name: 'autocast.op.ns', value: added(loop(add), inside(add)), unit: 'ns', must: '<= 10' },
    {
      name: 'autocast.cached.ns',
      value: added(
        inside(() => F.linear(low.x, low.w).dispose()),
        inside(() => F.linear(low.x, w).dispose()),
      ),
      unit: 'ns',
      must: '<= 40',
    },
    {
      name: 'autocast.scope.us',
      value:
        added(
          loop(nothing),
          loop(() => autocast({ dtype: 'bfloat16' }, nothing)),
        ) / 1000,
      unit: 'us',
      must: '<= 0.3',
    },
  ];
};

/**
 * The host time of unscale, step and update of 150 parameters beyond the launches themselves, and the number of reads.
 */
export const scaler: Part = ({ clock }) => {
  const params = Array.from({ length: 150 }, () => nn.Parameter(randn([8, 8])));
  const optimizer = new optim.AdamW(params);
  const scaler = new GradScaler();
  for (const p of params) p.grad = randn([8, 8]);
  scaler.scale(tensor(1));
  const own = { foundInf: tensor(0), inverse: tensor(1), scale: tensor(1), tracker: tensor(0, { dtype: 'int32' }) };
  const rule = { growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000, minScale: 1, maxScale: 2 ** 24 };
  const grads = params.map(p => p.grad!);
  const launches = (): void => {
    multiUnscale(grads, own.inverse, own.foundInf);
    optimizer.stepUnless(own.foundInf);
    updateScale(own.scale, own.tracker, own.foundInf, rule);
  };
  const step = (): void => {
    scaler.unscale(optimizer);
    scaler.step(optimizer);
    scaler.update();
  };
  const before = memory.stats().hostReads;
  const times = interleaved([launches, step], 2000, clock);
  return [
    { name: 'scaler.host.us', value: (times[1]! - times[0]!) * 1e6, unit: 'us', must: '<= 60' },
    { name: 'scaler.hostReads', value: memory.stats().hostReads - before, unit: 'reads', must: '0' },
  ];
};
