import { memory } from '../runtime/index.ts';
import { ms, timed, turns, type Bench, type Part } from './bench.ts';
import { levelFacts } from './levels.ts';
import type { Figure } from './measure.ts';
import {
  convnetTraining,
  gpt128,
  gpt512,
  gptTraining,
  mlpTraining,
  tinyGpt,
  type Short,
  type Training,
} from './steps.ts';
import type { Times } from './turns.ts';

const shorts: readonly Short[] = ['f32', 'bf16', 'f16'];

/** A model whose training steps are measured, and what the figures must reach. */
interface Subject<S extends object> {
  /** The first part of the names of the figures. */
  readonly name: string;
  /** The part of cpu.py. */
  readonly part: string;
  readonly sizes: S;
  readonly tiny: S;
  readonly make: (sizes: S, short: Short) => Training;
  /** The dtypes in which PyTorch is not measured: its convolutions take seconds in float16. */
  readonly alone?: readonly Short[];
  /** The limits of PyTorch's time over Castor's. */
  readonly overTorch: Partial<Record<Short, string>>;
  /** Other names of the times, from before there were several models, with their limits. */
  readonly earlier?: Partial<Record<Short, { readonly name: string; readonly must?: string }>>;
}

/** The gain of 16 bits over float32. On every machine autocast must not be slower. */
function speedups(level: Bench['level'], name: string, { own, torch }: Times): Figure[] {
  return (['bf16', 'f16'] as const).map(short => ({
    name: `${name}.${short}.speedup`,
    value: own['f32']! / own[short]!,
    unit: 'ratio',
    must: name === 'gpt512' ? levelFacts[level].speedup[short] : '>= 1',
    ...(torch?.[short] ? { torch: torch['f32']! / torch[short] } : {}),
  }));
}

function versusTorch<S extends object>({ name, overTorch }: Subject<S>, { own, torch }: Times): Figure[] {
  if (!torch) return [];
  return shorts
    .filter(short => short in torch)
    .map(short => ({
      name: `${name}.${short}.vsTorch`,
      value: torch[short]! / own[short]!,
      unit: 'ratio',
      ...(overTorch[short] ? { must: overTorch[short] } : {}),
    }));
}

/** Steps of a model in float32, bfloat16 and float16, which take turns. */
const trainingSteps =
  <S extends object>(subject: Subject<S>): Part =>
  async bench => {
    const { name, part, make, alone = [], earlier = {} } = subject;
    const sizes = bench.tiny ? subject.tiny : subject.sizes;
    const cases = Object.fromEntries(shorts.map(short => [short, make(sizes, short).step]));
    const asked = shorts.filter(short => !alone.includes(short));
    const times = await turns(bench, { part, sizes: { ...sizes, dtypes: asked }, cases, alone });
    memory.collect();
    return [
      ...shorts.map(short => ({ name: `${name}.${short}.ms`, ...timed(times, short, ms) })),
      ...shorts.flatMap(short => (earlier[short] ? [{ ...timed(times, short, ms), ...earlier[short] }] : [])),
      ...speedups(bench.level, name, times),
      ...versusTorch(subject, times),
    ];
  };

const gpt = { part: 'gpt', tiny: tinyGpt, make: gptTraining };

export const gpt512Steps = trainingSteps({
  ...gpt,
  name: 'gpt512',
  sizes: gpt512,
  overTorch: { f32: '>= 1.3', bf16: '>= 1.3' },
});
export const gpt128Steps = trainingSteps({
  ...gpt,
  name: 'gpt128',
  sizes: gpt128,
  overTorch: { f32: '>= 1.3', bf16: '>= 1.5' },
  earlier: {
    f32: { name: 'gpt.step.f32.ms', must: '<= 300' },
    f16: { name: 'gpt.step.f16.ms' },
    bf16: { name: 'gpt.step.bf16.ms' },
  },
});
export const mlpSteps = trainingSteps({
  name: 'mlp',
  part: 'mlp',
  sizes: { width: 512, batch: 64 },
  tiny: { width: 32, batch: 4 },
  make: mlpTraining,
  overTorch: { f32: '>= 1.2', bf16: '>= 1.2' },
  earlier: { f32: { name: 'mlp.adam.ms', must: '<= 7' } },
});
export const convnetSteps = trainingSteps({
  name: 'convnet',
  part: 'convnet',
  sizes: { channels: [32, 64], batch: 64 },
  tiny: { channels: [4, 8], batch: 4 },
  make: convnetTraining,
  alone: ['f16'],
  overTorch: { f32: '>= 1.2', bf16: '>= 1.2' },
});
