import { any, checked, checkMethods, number, optional, options, required, signature } from '../arguments.ts';
import { asUser, checkFunction, current, modeWith, runScope, type ScopeFunction } from '../context.ts';
import { ArgumentError, GraphError } from '../errors.ts';
import { currentCapture } from './graphCapture.ts';

const takesGenerator = signature('Generator', { seed: optional(number) });
/**
 * A source of random numbers: Philox4x32-10 keyed by the seed. Each random op takes the next offset. Element i of its result depends on
 * (seed, offset, i) only, and so is the same on every device and for any number of threads.
 */
export class Generator {
  #seed = 0;
  #offset = 0;

  /** Starts at the beginning of the stream of a seed, which is random unless given. */
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
  /** Returns the seed. PyTorch: `initial_seed()`. */
  get seed(): number {
    return this.#seed;
  }
  /** Returns the seed and the offset for one random op, and advances the stream. */
  next(): { seed: number; offset: number } {
    const capture = currentCapture();
    if (capture !== null && capture.generator !== this)
      throw new GraphError('random numbers of two generators cannot be captured in one graph', {
        advice: 'Capture inside of withGenerator(), not the other way round',
      });
    return { seed: this.#seed, offset: this.#offset++ };
  }
  /** Advances the stream as that many random ops would. @internal */
  skip(ops: number): void {
    this.#offset += ops;
  }
  /** Returns the position in the stream, to return to it with setState(). PyTorch: `get_state()`. */
  state(): { seed: number; offset: number } {
    return { seed: this.#seed, offset: this.#offset };
  }
  /** Returns to the position at which a generator gave this state(). @throws ArgumentError for a value that is not such a state */
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

/** Returns the seed and the offset for one random op. A subclass may have another next(), which then runs as user code. */
export const draw = (source: Generator): { seed: number; offset: number } =>
  source.next === Generator.prototype.next ? source.next() : asUser(() => source.next());

const shared = new Generator();
/** Returns the generator that random ops use where this is called: that of the surrounding withGenerator(), else that of the process. */
export const generator = checked('generator', {}, (): Generator => (current().generator as Generator | null) ?? shared);
/** Seeds the generator of the process: the same program then draws the same numbers. */
export const manualSeed = checked('manualSeed', { seed: number }, (seed: number): Generator => shared.manualSeed(seed));
/** Runs fn with its own generator, so that interleaved requests each draw numbers from their own stream. */
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
