/** What turns texts into tokens and back: any tokenizer library, or bytes. */
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

  constructor(tokenizer: Tokenizer, stops: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#stops = stops;
  }

  /** Adds a token, and returns the text that is certain now: no half of a character, and nothing that may begin a stop sequence. */
  add(token: number): string {
    this.#tokens.push(token);
    const text = this.#tokenizer.decode(this.#tokens);
    const stop = this.#stopIn(text);
    if (stop >= 0) {
      this.stopped = true;
      return this.#give(text.slice(0, stop));
    }
    return this.#give(text.slice(0, text.length - this.#uncertain(text)));
  }
  /** Returns the rest of the text, when no more tokens come. */
  end(): string {
    return this.stopped ? '' : this.#give(this.#tokenizer.decode(this.#tokens));
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
    const longest = Math.max(0, ...this.#stops.map(stop => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > broken; length--)
      if (this.#stops.some(stop => stop.startsWith(text.slice(text.length - length)))) return length;
    return broken;
  }
  #give(text: string): string {
    const more = text.slice(this.#given.length);
    if (more !== '') this.#given = text;
    return more;
  }
}
