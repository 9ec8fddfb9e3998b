import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';

/** Turns texts into tokens and back: any tokenizer library, or the bytes of UTF-8. */
export interface Tokenizer {
  encode(text: string): Iterable<number>;
  decode(tokens: number[]): string;
}

/** The text of tokens that come one by one, up to the first stop sequence. */
export class TextSoFar {
  readonly #tokenizer: Tokenizer;
  readonly #stops: readonly string[];
  readonly #tokens: number[] = [];
  #given = '';
  /** Was a stop sequence found? Then no more text comes. */
  stopped = false;
  /** Does the last token leave text that is not certain? */
  incomplete = false;

  constructor(tokenizer: Tokenizer, stops: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#stops = stops;
  }

  /** Adds a token, and returns the text that is certain now: no half of a character, and nothing that may begin a stop sequence. */
  add(token: number): string {
    this.#tokens.push(token);
    const text = this.#decoded();
    const stop = this.#stopIn(text);
    this.incomplete = false;
    if (stop >= 0) {
      this.stopped = true;
      return this.#give(text.slice(0, stop));
    }
    const uncertain = this.#uncertain(text);
    this.incomplete = uncertain > 0;
    return this.#give(text.slice(0, text.length - uncertain));
  }
  /** Returns the rest of the text, when no more tokens come. */
  end(): string {
    return this.stopped ? '' : this.#give(this.#decoded());
  }
  get text(): string {
    return this.#given;
  }

  #stopIn(text: string): number {
    const found = this.#stops.map(stop => text.indexOf(stop)).filter(at => at >= 0);
    return found.length === 0 ? -1 : Math.min(...found);
  }
  /** The number of characters at the end that later tokens may change, or complete to a stop sequence. */
  #uncertain(text: string): number {
    const broken = /\uFFFD+$/.exec(text)?.[0].length ?? 0;
    const whole = text.slice(0, text.length - broken);
    // Later tokens replace the broken character, which may be part of the stop sequence, or is one of its own.
    return Math.max(this.#begun(text), this.#begun(whole) + broken);
  }
  /** The number of characters at the end that may begin a stop sequence. */
  #begun(text: string): number {
    const longest = Math.max(0, ...this.#stops.map(stop => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--)
      if (this.#stops.some(stop => stop.startsWith(text.slice(text.length - length)))) return length;
    return 0;
  }
  /** @throws what the tokenizer throws, and ArgumentError if it returns no text */
  #decoded(): string {
    // The tokenizer may keep or change what it is given.
    const text: unknown = this.#tokenizer.decode([...this.#tokens]);
    if (typeof text === 'string') return text;
    throw new ArgumentError(`the tokenizer's decode() returned ${shown(text)}`, {
      op: 'generator',
      advice: 'decode() must return the text of the tokens that it is given, at once',
    });
  }
  #give(text: string): string {
    const more = text.slice(this.#given.length);
    if (more !== '') this.#given = text;
    return more;
  }
}
