import {
  callable,
  checkMethods,
  having,
  instanceOf,
  nullable,
  number,
  optional,
  options as optionsOf,
  required,
  signature,
  text,
} from '../arguments.ts';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GradScaler } from '../amp/gradScaler.ts';
import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { getDefaultDevice, type Device } from '../tensor/device.ts';
import { memory } from '../tensor/memory.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { drawCurve } from './curve.ts';
import { clock, shortBytes } from './format.ts';
import { MetricsLog, type Metrics } from './metrics.ts';
import { Progress, type ProgressStream } from './progress.ts';
import { lossSvg } from './svg.ts';

/** The options of a Monitor. */
export interface MonitorOptions {
  /** The number of steps of the whole run. */
  steps: number;
  /** The number of tokens that one step trains on. */
  tokensPerStep: number;
  /** The scaler of mixed precision training, whose scale and skipped steps are recorded. */
  scaler?: GradScaler;
  /** The number of steps that were done before, for a run that is resumed. */
  from?: number;
  /** The folder for metrics.jsonl and loss.svg. Without it nothing is written. */
  out?: string | null;
  /** The device of the training. */
  device?: Device;
  /** The number of steps between two reads of the device, each of which waits for it. Default: 1 on a CPU, else 10. */
  every?: number;
  /** The stream that progress is written to. Default: process.stdout. */
  stream?: ProgressStream;
}

const takesMonitor = signature('Monitor', {
  options: required(
    optionsOf({
      steps: required(number),
      tokensPerStep: required(number),
      scaler: instanceOf('a GradScaler', () => GradScaler),
      from: number,
      out: nullable(text),
      device: text,
      every: number,
      stream: having('a stream', 'write'),
    }),
  ),
});

/**
 * Monitors a training run: it shows the progress, writes the metrics, and at the end draws the loss curve and a
 * summary.
 */
export class Monitor {
  /** The rows that were recorded. */
  readonly log: MetricsLog;
  readonly #options: MonitorOptions;
  readonly #device: Device;
  readonly #every: number;
  readonly #progress: Progress;
  /** The step of the last row. */
  #step: number;
  #time = performance.now();
  #trainedMs = 0;

  /** Starts the measurement, and opens metrics.jsonl where a folder is given. */
  constructor(options: MonitorOptions) {
    [options] = takesMonitor(arguments);
    const { steps, from = 0, out, stream, device = getDefaultDevice() } = options;
    this.#options = options;
    this.#device = device;
    this.#every = options.every ?? (device === 'cpu' ? 1 : 10);
    this.#step = from;
    this.#progress = new Progress(steps, stream ? { stream } : {});
    this.log = new MetricsLog(out ? join(out, 'metrics.jsonl') : null, from);
  }

  /**
   * Records that `step` steps are done. At a milestone it also calls a function that returns the held-out loss. The
   * time that this takes does not count as training.
   */
  async record(step: number, loss: Tensor | null, milestone: (() => Promise<number>) | null = null): Promise<void> {
    if (step % this.#every !== 0 && !milestone) return;
    const lossNow = loss && (await loss.item());
    const elapsed = performance.now() - this.#time;
    const heldOutLoss = milestone && (await milestone());
    if (heldOutLoss !== null && typeof heldOutLoss !== 'number')
      throw new ArgumentError(`milestone gave ${shown(heldOutLoss)}, which is not a number`, {
        op: 'Monitor.record',
        advice: 'Pass a function that returns the held-out loss, such as the result of meanLoss()',
      });
    const row: Metrics = {
      step,
      loss: lossNow,
      heldOutLoss,
      tokensPerSecond: this.#speed(step, elapsed),
      lossScale: (await this.#options.scaler?.getScale()) ?? 1,
      skippedSteps: (await this.#options.scaler?.skippedSteps()) ?? 0,
      peakBytes: memory.peak(this.#device),
    };
    this.log.append(row);
    this.#show(row);
    this.#step = step;
    this.#time = performance.now();
  }

  /** Tokens per second since the last row, or null if there was no training. */
  #speed(step: number, elapsed: number): number | null {
    if (step === this.#step) return null;
    this.#trainedMs += elapsed;
    return Math.round(((step - this.#step) * this.#options.tokensPerStep) / (elapsed / 1000));
  }

  #show(row: Metrics): void {
    const { steps, from = 0 } = this.#options;
    if (row.heldOutLoss !== null) this.print(`step ${row.step}: held-out loss ${row.heldOutLoss.toFixed(4)}`);
    if (row.step > from) this.#progress.update(row, ((steps - row.step) * this.#trainedMs) / 1000 / (row.step - from));
  }

  /** Prints a line above the progress bar. */
  print(text: string): void {
    this.#progress.print(text);
  }

  /** Draws the loss curve, writes loss.svg and prints a summary of the run. */
  finish(): void {
    const { out, from = 0 } = this.#options;
    const curve = drawCurve(this.log.rows);
    if (curve) this.print(`\n${curve}\n`);
    if (out) {
      mkdirSync(out, { recursive: true });
      writeFileSync(join(out, 'loss.svg'), lossSvg(this.log.rows));
    }
    const done = this.#step - from;
    const each = done > 0 ? `, ${(this.#trainedMs / done).toFixed(0)} ms a step` : '';
    const peak = shortBytes(memory.peak(this.#device));
    this.print(`${done} steps in ${clock(this.#trainedMs / 1000)}${each}, peak memory ${peak}`);
  }
}

checkMethods(Monitor, {
  record: { step: number, loss: nullable(tensor), milestone: optional(nullable(callable)) },
  print: { text },
  finish: {},
});
