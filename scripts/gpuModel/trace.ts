/**
 * Prints the calls of a captured training step of GPT-2, with what each moves and launches, as JSON:
 * `bun scripts/gpuModel/trace.ts float32|bfloat16 FILE`. It runs in a process of its own, with the library whose device
 * is the emulator and CASTOR_EMULATOR_TRACE=FILE, so that no kernel runs: the step has its real size.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { large } from '../../benchmarks/gpuSizes.ts';
import { Gpt } from '../../benchmarks/model.ts';
import { autocast, F, graph, memory, optim, randint, tidy, type Tensor } from '../../runtime/index.ts';
import { native } from '../../runtime/ffi/library.ts';
import { costOf, type Call } from './calls.ts';

const [dtype, file] = process.argv.slice(2) as ['float32' | 'bfloat16', string];

/** The native calls of one training step, and its sizes. */
export interface Step {
  readonly calls: readonly Call[];
  readonly parameters: number;
  readonly tokens: number;
  /** The bytes that are alive at once in an eager step, with the parameters and the state of the optimizer. */
  readonly peakBytes: number;
}

let launchesSeen = 0;
let position = 0;
let opened: number | null = null;
/** The number of launches since the last call of this function: lines that the emulator has added to the file. */
function launches(): number {
  opened ??= openSync(file, 'r');
  const bytes = Buffer.alloc(fstatSync(opened).size - position);
  readSync(opened, bytes, 0, bytes.length, position);
  position += bytes.length;
  const count = bytes.toString('latin1').split('\n').length - 1;
  launchesSeen += count;
  return count;
}

const calls: Call[] = [];
let recording = false;
type Native = Record<string, (...args: any[]) => unknown>;
/** Makes every function of the library add its call to the list while a step is captured. */
function watch(functions: Native): void {
  for (const [name, fn] of Object.entries(functions))
    functions[name] = (...args) => {
      if (name === 'castor_capture_end') recording = false;
      const cost = recording ? costOf(name, args) : null;
      if (cost) launches();
      const result = fn(...args);
      // A copy of whole memory is no kernel, but takes a place in the graph as one does.
      if (cost) calls.push({ ...cost, launches: Math.max(1, launches()) });
      if (name === 'castor_capture_begin') recording = true;
      return result;
    };
}

function train(): Step {
  const { gpt: config, batch } = large;
  const model = new Gpt(config);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
  const ids = randint(0, config.vocabulary, [batch, config.context]);
  const targets = randint(0, config.vocabulary, [batch * config.context]);
  const loss = (): Tensor => F.crossEntropy(model.forward(ids).reshape([-1, config.vocabulary]), targets);
  const step = (): void =>
    tidy(() => {
      optimizer.zeroGrad();
      const value = dtype === 'float32' ? loss() : autocast({ dtype }, loss);
      value.backward();
      optimizer.step();
    });
  step();
  memory.resetPeak();
  step();
  const peakBytes = memory.peak();
  graph.capture(step, { warmup: 0 });
  const parameters = [...model.parameters()].reduce((sum, each) => sum + each.numel, 0);
  return { calls, parameters, tokens: batch * config.context, peakBytes };
}

watch(native as unknown as Native);
const step = train();
if (launchesSeen === 0) throw new Error('no launch was seen: is this the library with the emulator?');
closeSync(opened!);
console.log(JSON.stringify(step));
