import { clock, shortBytes, shortCount } from './format.ts';
import type { Metrics } from './metrics.ts';

/** Where progress is shown; process.stdout is one. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR = 24;

/** Shows how far a run is: one line rewritten in place on a terminal, a plain line every few steps elsewhere. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #steps: number;
  readonly #every: number;

  /** @param every how many steps apart plain lines are */
  constructor(steps: number, options: { stream?: ProgressStream; every?: number } = {}) {
    this.#steps = steps;
    this.#stream = options.stream ?? process.stdout;
    this.#every = options.every ?? 10;
  }

  update(row: Metrics, secondsLeft: number): void {
    const facts = describe(row, this.#steps, secondsLeft);
    if (this.#stream.isTTY) {
      const line = `${bar(row.step / this.#steps)} ${facts.join('  ')}`;
      this.#stream.write(`\r\x1b[K${line.slice(0, (this.#stream.columns ?? 80) - 1)}`);
    } else if (row.step % this.#every === 0 || row.step === this.#steps) this.#stream.write(`${facts.join('  ')}\n`);
  }

  /** A line of its own; on a terminal it takes the place of the bar, which comes back below it. */
  print(text: string): void {
    this.#stream.write(`${this.#stream.isTTY ? '\r\x1b[K' : ''}${text.replace(CONTROL, '\ufffd')}\n`);
  }
}

/** Characters with which a text, such as what a model wrote, could steer a terminal; not tab and newline. */
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

function bar(part: number): string {
  const full = Math.round(Math.min(1, part) * BAR);
  return '█'.repeat(full) + '░'.repeat(BAR - full);
}

function describe(row: Metrics, steps: number, secondsLeft: number): string[] {
  return [
    `${String(row.step).padStart(String(steps).length)}/${steps}`,
    ...(row.loss === null ? [] : [`loss ${row.loss.toFixed(4)}`]),
    ...(row.tokensPerSecond === null ? [] : [`${shortCount(row.tokensPerSecond)} tokens/s`]),
    `scale ${row.lossScale}`,
    `skipped ${row.skippedSteps}`,
    `peak ${shortBytes(row.peakBytes)}`,
    ...(Number.isFinite(secondsLeft) ? [`${clock(secondsLeft)} left`] : []),
  ];
}
