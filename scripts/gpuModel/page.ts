/** docs/gpu-model.md: the tables of the model, and what it says of each promise. */
import { large } from '../../benchmarks/gpuSizes.ts';
import { gpus, type Gpu } from './devices.ts';
import { rowsOf, secondsOf, timeOf, total, type Reached, type Row } from './roofline.ts';
import type { Step } from './trace.ts';

export interface Steps {
  readonly bfloat16: Step;
  readonly float32: Step;
}

/** The shares of the bandwidth and of the rate of products that kernels are assumed to reach, for the likely time of a step. */
const LIKELY: Reached = { bytes: 0.85, products: 0.65 };
/** The pause between two kernels of a graph (assumed) and the time of the host for a launch (promised), in microseconds. */
const [GAP, LAUNCH] = [1, 2.5];

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n');
const ms = (seconds: number): string => (seconds * 1e3).toFixed(seconds < 0.1 ? 2 : 1);
const thousands = (value: number): string => `${Math.round(value / 1000)} k`;
const launchesOf = ({ calls }: Step): number => total(calls, call => call.launches);
const gapsOf = (step: Step): number => (launchesOf(step) * GAP) / 1e6;

/** The seconds of all rows on the first GPU. */
const wholeOf = (rows: readonly Row[]): number => rows.reduce((sum, row) => sum + row.seconds[0]!, 0);

/** Rows below this share of the time are one row. */
const SMALL = 0.01;
function shown(rows: readonly Row[]): string[][] {
  const whole = wholeOf(rows);
  const [main, rest] = [
    rows.filter(row => row.seconds[0]! >= SMALL * whole),
    rows.filter(row => row.seconds[0]! < SMALL * whole),
  ];
  const line = (name: string, group: readonly Row[], bound: string): string[] => {
    const sum = (of: (row: Row) => number): number => group.reduce((s, row) => s + of(row), 0);
    return [
      name,
      String(sum(row => row.calls)),
      String(sum(row => row.launches)),
      (sum(row => row.bytes) / 1e9).toFixed(2),
      (sum(row => row.flops) / 1e12).toFixed(2),
      ...gpus.map((_, i) => ms(sum(row => row.seconds[i]!))),
      `${((100 * sum(row => row.seconds[0]!)) / whole).toFixed(0)} %`,
      bound,
    ];
  };
  return [
    ...main.map(row => line(row.name, [row], row.bound[0]!)),
    line(`${rest.length} others`, rest, ''),
    line('**the step**', rows, ''),
  ];
}
const stepTable = (step: Step): string =>
  table(
    [
      'kernel',
      'calls',
      'launches',
      'GB',
      'TFLOP',
      ...gpus.map(gpu => `${gpu.name}, ms`),
      `of ${gpus[0]!.name}`,
      'bound by',
    ],
    shown(rowsOf(step, gpus)),
  );

function summary({ bfloat16, float32 }: Steps): string {
  const row = (gpu: Gpu): string[] => {
    const [least, likely] = [secondsOf(bfloat16, gpu), secondsOf(bfloat16, gpu, LIKELY) + gapsOf(bfloat16)];
    const host = (launchesOf(bfloat16) * LAUNCH) / 1e6;
    return [
      gpu.name,
      ms(least),
      thousands(bfloat16.tokens / least),
      ms(likely),
      thousands(bfloat16.tokens / likely),
      ms(host),
      ms(secondsOf(float32, gpu)),
      bfloat16.peakBytes > gpu.memory ? 'no' : 'yes',
    ];
  };
  const head = ['GPU', 'least, ms', 'tokens/s', 'likely, ms', 'tokens/s', 'host, ms', 'float32 least, ms', 'fits'];
  return table(head, gpus.map(row));
}

/** The seconds that a GPU takes for the calls of one name. */
const ofName = ({ calls }: Step, name: string, gpu: Gpu): number =>
  total(calls, call => (call.name === name ? timeOf(call, gpu) : 0));

function promises({ bfloat16, float32 }: Steps): string {
  const [h200] = gpus as [Gpu];
  const each = (of: (gpu: Gpu) => number, digits = 1): string =>
    gpus.map(gpu => `${gpu.name} ${of(gpu).toFixed(digits)}`).join(', ');
  const products = 2 * large.square ** 3;
  const sum = 3 * 2 * large.elements;
  const host = (launchesOf(bfloat16) * LAUNCH) / 1e3;
  const rows = [
    [
      'bfloat16 at least 3 times as fast as float32',
      `at the roofline ${each(gpu => secondsOf(float32, gpu) / secondsOf(bfloat16, gpu))} times`,
    ],
    [
      'at most 0.6 of the memory of float32',
      `${(bfloat16.peakBytes / float32.peakBytes).toFixed(3)}: ${(bfloat16.peakBytes / 1e9).toFixed(1)} GB of ${(float32.peakBytes / 1e9).toFixed(1)} GB, counted by the library itself`,
    ],
    [
      `a launch in at most ${LAUNCH} us`,
      `${launchesOf(bfloat16)} launches keep the host busy for ${host.toFixed(2)} ms, the ${h200.name} for at least ${ms(secondsOf(bfloat16, h200))} ms: ` +
        (host / 1e3 > secondsOf(bfloat16, h200)
          ? 'the host is slower'
          : 'the device is slower, so that an eager step does not wait for the host'),
    ],
    [
      'GPT-2 1.15 times as fast as PyTorch, 1.3 times as a graph',
      "PyTorch's step is not in the model. The launches of an eager step are hidden behind the kernels, so a graph saves the pauses between " +
        `${launchesOf(bfloat16)} kernels and what the host does besides launching`,
    ],
    [
      'AdamW 1.1 times as fast as the fused one of PyTorch',
      `both move ${(total(bfloat16.calls, call => (call.name === 'AdamW' ? call.bytes : 0)) / 1e9).toFixed(2)} GB, at least ${ms(ofName(bfloat16, 'AdamW', h200))} ms on ${h200.name}: ` +
        'kept only if PyTorch reaches less than 0.91 of what Castor does',
    ],
    [
      'unscale of the gradients at 0.85 of the speed of a copy',
      `${((8 * bfloat16.parameters) / 1e9).toFixed(2)} GB: ${each(gpu => ((8 * bfloat16.parameters) / gpu.bandwidth) * 1e3, 2)} ms at the roofline`,
    ],
    [
      `product of ${large.square} cubed, 0.98 of cuBLASLt's speed by it, 0.6 by own kernels`,
      `${(products / 1e12).toFixed(2)} TFLOP: ${each(gpu => (products / gpu.half) * 1e3, 2)} ms at the roofline. Instructions bound own kernels, which the model does not know`,
    ],
    [
      'sums of bfloat16 at 0.9 of the speed of a copy; softmax and layerNorm 1.2 times as fast as PyTorch',
      `a sum of ${large.elements / 2 ** 20} Mi elements moves ${(sum / 1e9).toFixed(2)} GB, ${each(gpu => (sum / gpu.bandwidth) * 1e3, 3)} ms. All three read and write each element once, as PyTorch does: 1.2 is a matter of the share of the bandwidth`,
    ],
    ['first step at most 1.5 s after the start', 'the model says nothing of the start'],
  ];
  return ['| promise | on paper |', '|---|---|', ...rows.map(row => `| ${row.join(' | ')} |`)].join('\n');
}

export const pageOf = (steps: Steps): string => `# A model of a training step on a GPU

<!-- Written by \`npm run gpu:model\`. A test compares the page with the trace. -->

**This is on paper: no figure on this page was measured, and nothing of Castor has run on a GPU yet.** It says what a step must at least
move and multiply, and how long a GPU takes for that at the rates of its data sheet (a
[roofline](https://en.wikipedia.org/wiki/Roofline_model)).

The step is that of \`npm run bench:gpu\`: GPT-2 with ${(steps.bfloat16.parameters / 1e6).toFixed(0)} M parameters, ${large.batch} sequences of ${large.gpt.context} tokens, autocast to bfloat16, cross entropy,
backward and AdamW. The trace is Castor's own: the step is captured in a graph at its real size, by the library whose device is the emulator,
with kernels that are launched and not run. Bytes are those of the operands of each call, each once; operations are those of products, two for each
multiply-add, half of them for causal attention. Products are by Castor's own kernels, whose sums in parts take a second launch, and whose number of parts is that for
132 multiprocessors. What stays in the cache of the GPU between two kernels is not subtracted.

## The step

${summary(steps)}

*Least* is the roofline. *Likely* assumes that kernels reach ${LIKELY.bytes} of the bandwidth and ${LIKELY.products} of the rate of products, with ${GAP} us between two of them.
*Host* is the time of the launches of an eager step at the promised ${LAUNCH} us.

## Which kernels bound it

bfloat16, with parameters, sums and the optimizer in float32:

${stepTable(steps.bfloat16)}

The same step in float32:

${stepTable(steps.float32)}

## The promises

What \`npm run bench:gpu\` will hold against PyTorch in the same run, and what can be said before:

${promises(steps)}
`;
