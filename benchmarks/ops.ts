import { memory, noGrad, rand, randn, type Tensor } from '../runtime/index.ts';
import { signature, signatureSpecs } from '../runtime/arguments.ts';
import { timed, turns, type Part } from './bench.ts';
import { chains, LENGTH } from './chain.ts';
import { seconds, type Figure } from './measure.ts';

/** The chain of chain.ts: the time of one op without and with backward. */
export const opOverhead: Part = async bench => {
  const { forward, forwardBackward } = chains();
  for (let i = 0; i < 2000; i++) forwardBackward();
  const times = await turns(bench, { part: 'op', sizes: { length: LENGTH }, cases: { forward, forwardBackward } });
  const each = { unit: 'us', from: (seconds: number): number => (seconds / LENGTH) * 1e6 };
  const figure = (name: string, must: string): Figure => ({
    name: `op.${name}.us`,
    ...timed(times, name, each),
    must,
    mustOverTorch: '>= 10',
  });
  return [figure('forward', '<= 0.25'), figure('forwardBackward', '<= 0.8')];
};

/** The check of the arguments of an ordinary call, x.sum(0): a tensor and an axis. Elementwise methods only count theirs. */
export const gate: Part = ({ clock }) => {
  const check = signature('benchmark', signatureSpecs.get('sum')!);
  const given = [randn([8]), 0];
  return [
    { name: 'gate.call.ns', value: seconds(() => check(given), 100_000, clock) * 1e9, unit: 'ns', must: '<= 50' },
  ];
};

/** The bytes per second that the sum of two tensors of 16 M floats reads and writes. */
export const add: Part = async bench => {
  const elements = bench.tiny ? 2 ** 12 : 2 ** 24;
  const [a, b] = [rand([elements]), rand([elements])];
  const cases = { add: () => noGrad(() => a.add(b).dispose()) };
  const times = await turns(bench, { part: 'add', sizes: { elements }, cases });
  const to = { unit: 'GB/s', from: (seconds: number): number => (12 * elements) / seconds / 1e9 };
  return [{ name: 'add.16m.gbps', ...timed(times, 'add', to), must: '>= 24' }];
};

/** The peak of native memory in a synchronous loop of a million small ops without dispose(). */
export const loop: Part = ({ tiny }) => {
  memory.collect();
  memory.resetPeak();
  const before = memory.stats().liveBytes;
  let t: Tensor = randn([64]);
  noGrad(() => {
    for (let i = 0; i < (tiny ? 1000 : 1_000_000); i++) t = t.mul(0.999);
  });
  return [{ name: 'loop.peak.mb', value: (memory.peak() - before) / 2 ** 20, unit: 'MB', must: '<= 256' }];
};
