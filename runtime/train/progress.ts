import { checkMethods, having, number, options as optionsOf, signature, text } from '../arguments.ts';
import { clock, shortBytes, shortCount } from './format.ts';
import { metrics, type Metrics } from './metrics.ts';

/** The stream that progress is written to, such as process.stdout. */
export interface ProgressStream {
  /** Is it a terminal, on which a line can be written over? */
  readonly isTTY?: boolean;
  /** The width of the terminal in characters. */
  readonly columns?: number;
  /** Writes a text. */
  write(text: string): unknown;
}

const stream = having('a stream', 'write');
const takesProgress = signature('Progress', { steps: number, options: optionsOf({ stream, every: number }) });

/**
 * Shows the progress of a run. On a terminal it is one line, rewritten in place, whose inverted part is the progress
 * bar. Elsewhere it is a plain line every few steps.
 */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #steps: number;
  readonly #every: number;

  /** Shows the progress of a run of so many steps. `every` is the number of steps between plain lines. Default: 10. */
  constructor(steps: number, options: { stream?: ProgressStream; every?: number } = {}) {
    [steps, options = {}] = takesProgress(arguments);
    this.#steps = steps;
    this.#stream = options.stream ?? process.stdout;
    this.#every = options.every ?? 10;
  }

  /** Shows a row and the time that is left, in place of what was shown before where the stream is a terminal. */
  update(row: Metrics, secondsLeft: number): void {
    const line = describe(row, this.#steps, secondsLeft).join('  ');
    if (this.#stream.isTTY)
      this.#stream.write(`\r${bar(line, row.step / this.#steps, (this.#stream.columns ?? 80) - 1)}`);
    else if (row.step % this.#every === 0 || row.step === this.#steps) this.#stream.write(`${line}\n`);
  }

  /** Prints a line. On a terminal it replaces the bar, which is drawn again below it. */
  print(text: string): void {
    this.#stream.write(`${this.#stream.isTTY ? '\r\x1b[K' : ''}${text.replace(CONTROL, '\ufffd')}\n`);
  }
}

checkMethods(Progress, { update: { row: metrics, secondsLeft: number }, print: { text } });

/**
 * Control characters other than tab and newline. In a text that a model wrote they could change the state of a
 * terminal.
 */
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** A text of some width, of which the part that is done is inverted. */
function bar(text: string, done: number, width: number): string {
  const line = text.padEnd(width).slice(0, width);
  const full = Math.round(Math.min(1, done) * width);
  return `\x1b[7m${line.slice(0, full)}\x1b[27m${line.slice(full)}`;
}

function describe(row: Metrics, steps: number, secondsLeft: number): string[] {
  return [
    `${String(row.step).padStart(String(steps).length)}/${steps}`,
    ...(row.loss === null ? [] : [`loss ${row.loss.toFixed(3)}`]),
    `${clock(secondsLeft)} left`,
    ...(row.tokensPerSecond === null ? [] : [`${shortCount(row.tokensPerSecond)} tokens/s`]),
    `scale ${row.lossScale}`,
    `skipped ${row.skippedSteps}`,
    `peak ${shortBytes(row.peakBytes)}`,
  ];
}
