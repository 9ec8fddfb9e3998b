import { any, checkMethods, number, options as optionsOf, signature } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { arange, fromTypedArray, linspace, randint } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import type { Generator } from '../tensor/generator.ts';
import { keep, tidyInner } from '../tensor/scope.ts';
import { device, generator } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { arrayKind } from '../tensor/dtype.ts';

/** A batch of windows. inputs are bytes and targets the byte after each of them, both (batch, context) of int64. */
export interface ByteBatch {
  /** The bytes, (batch, context) of int64. */
  readonly input: Tensor;
  /** The byte after each of them, (batch, context) of int64. */
  readonly target: Tensor;
}

const takesWindows = signature('ByteWindows', { text: any, context: any, options: optionsOf({ device }) });

/**
 * Windows of a text, for a model that predicts the next byte. The text is on the device, and batches are taken from it
 * there.
 */
export class ByteWindows {
  /** The length of a window, in bytes. */
  readonly context: number;
  readonly #text: Tensor;

  /** Moves the text to the device. @throws ArgumentError for a text that is shorter than one window */
  constructor(text: Uint8Array, context: number, options: { device?: Device } = {}) {
    [text, context, options = {}] = takesWindows(arguments);
    if (!(ArrayBuffer.isView(text) && arrayKind(text) === 'Uint8Array'))
      throw new ArgumentError(`the text is ${shown(text)}`, {
        op: 'ByteWindows',
        advice: 'Pass its bytes: new TextEncoder().encode(text)',
      });
    if (!Number.isInteger(context) || context < 1)
      throw new ArgumentError(`a context of ${shown(context)} bytes is not an integer >= 1`, {
        op: 'ByteWindows',
        advice: 'Pass the number of bytes that the model sees at once, such as 256',
      });
    if (text.length <= context)
      throw new ArgumentError(`a text of ${text.length} bytes has no window of ${context + 1}`, {
        op: 'ByteWindows',
        advice: 'Use more text or a shorter context',
      });
    this.context = context;
    this.#text = keep(fromTypedArray(text, [text.length], options));
  }

  /** Frees the memory of the text. */
  dispose(): void {
    this.#text.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The length of the text in bytes. */
  get length(): number {
    return this.#text.numel;
  }

  /** A batch of windows at random positions, which are drawn from a generator. */
  random(batch: number, generator: Generator): ByteBatch {
    return this.#at(randint(0, this.length - this.context, [batch], { device: this.#text.device, generator }));
  }

  /** `count` windows in batches, spread evenly over the text. They are the same at each call. */
  *spread(batch: number, count: number): IterableIterator<ByteBatch> {
    for (const [name, value] of Object.entries({ batch, count }))
      if (!Number.isSafeInteger(value) || value < 1)
        throw new ArgumentError(`${name} ${value} is not an integer > 0`, {
          op: 'ByteWindows.spread',
          advice: 'Pass the number of windows in a batch, and the number of all windows',
        });
    const last = this.length - this.context - 1;
    const places = tidyInner(
      n => linspace(0, last, n, { dtype: 'float64', device: this.#text.device }).floor().to('int64'),
      batch * count,
    );
    for (let i = 0; i < count; i++) yield this.#at(places.slice(0, i * batch, (i + 1) * batch));
    places.dispose();
  }

  #at(places: Tensor): ByteBatch {
    const { context } = this;
    const windows = tidyInner(starts => {
      const index = starts.unsqueeze(1).add(arange(context + 1, { device: starts.device }));
      return this.#text
        .indexSelect(0, index.reshape([-1]))
        .to('int64')
        .reshape([-1, context + 1]);
    }, places);
    return { input: windows.slice(1, 0, context), target: windows.slice(1, 1) };
  }
}

checkMethods(ByteWindows, {
  dispose: {},
  random: { batch: number, generator },
  spread: { batch: number, count: number },
});
