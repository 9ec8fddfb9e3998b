import { any, checked, checkMethods, number, optional, options, required, signature } from '../arguments.ts';
import { asUser, checkFunction, current, modeWith, runScope, type ScopeFunction } from '../context.ts';
import { ArgumentError, GraphError } from '../errors.ts';
import { currentCapture } from './graphCapture.ts';

const takesGenerator = signature('Generator', { seed: optional(number) });
/**
 * A source of random numbers: Philox4x32-10 keyed by the seed. Each random op takes the next offset, and element i of its result
 * depends on (seed, offset, i) only: the same on every device, for any number of threads.
 */
export class Generator {
  #seed = 0;
  #offset = 0;

  /** Starts at the beginning of the stream of a seed, a random one unless given. */
  constructor(seed: number = Math.floor(Math.random() * 2 ** 32)) {
    takesGenerator(arguments);
    this.manualSeed(seed);
  }
  /** Starts the stream of this seed from its beginning. @throws ArgumentError unless the seed is a whole number >= 0 */
  manualSeed(seed: number): this {
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new ArgumentError(`seed ${seed} is not a whole number >= 0`, {
        op: 'manualSeed',
        advice: 'Pass one from 0 to 2^53 - 1',
      });
    this.#seed = seed;
    this.#offset = 0;
    return this;
  }
  /** The seed. PyTorch: `initial_seed()`. */
  get seed(): number {
    return this.#seed;
  }
  /** Seed and offset for one random op. */
  next(): { seed: number; offset: number } {
    const capture = currentCapture();
    if (capture !== null && capture.generator !== this)
      throw new GraphError('random numbers of two generators cannot be captured in one graph', {
        advice: 'Capture inside of withGenerator(), not the other way round',
      });
    return { seed: this.#seed, offset: this.#offset++ };
  }
  /** As after so many random ops. @internal */
  skip(ops: number): void {
    this.#offset += ops;
  }
  /** Where the generator is in its stream, to come back to with setState(). PyTorch: `get_state()`. */
  state(): { seed: number; offset: number } {
    return { seed: this.#seed, offset: this.#offset };
  }
  /** Goes to where a generator was when it gave this state(). @throws ArgumentError for what is no such state */
  setState(state: { seed: number; offset: number }): void {
    if (!Number.isSafeInteger(state.offset) || state.offset < 0)
      throw new ArgumentError(`offset ${state.offset} is not a whole number >= 0`, {
        op: 'Generator.setState',
        advice: 'Pass what state() gave',
      });
    this.manualSeed(state.seed);
    this.#offset = state.offset;
  }
}

const stateFields = options({ seed: required(number), offset: required(number) });
checkMethods(Generator, {
  manualSeed: { seed: number },
  next: {},
  skip: { ops: number },
  state: {},
  setState: { state: required(stateFields) },
});

/** Seed and offset for one random op. A subclass of the user's may have another next(): it runs as code of the user's. */
export const draw = (source: Generator): { seed: number; offset: number } =>
  source.next === Generator.prototype.next ? source.next() : asUser(() => source.next());

const shared = new Generator();
/** The generator random ops use here: the one of the surrounding withGenerator, else the process-wide one. */
export const generator = checked('generator', {}, (): Generator => (current().generator as Generator | null) ?? shared);
/** Seeds the process-wide generator: the same program then draws the same numbers. */
export const manualSeed = checked('manualSeed', { seed: number }, (seed: number): Generator => shared.manualSeed(seed));
/** Runs fn with a generator of its own, so that interleaved requests each draw their own stream. */
export const withGenerator = checked('withGenerator', { own: any, fn: any }, doWithGenerator);
function doWithGenerator<T>(own: Generator, fn: () => T): T {
  if (!(own instanceof Generator))
    throw new ArgumentError('the first argument is not a Generator', {
      op: seeding.op,
      advice: `Call ${seeding.call}`,
    });
  checkFunction(fn, seeding);
  return runScope(seeding, modeWith(current(), { generator: own }), fn);
}
const seeding: ScopeFunction = { op: 'withGenerator', call: 'withGenerator(new Generator(seed), () => ...)' };
