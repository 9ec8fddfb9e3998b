/** What an error knows beside its text: enough to find the call that was wrong. */
export interface ErrorContext {
  /** The name of the function that was called. */
  op?: string;
  /** The shapes of the tensors that it was called with. */
  shapes?: readonly (readonly number[])[];
  /** The dtypes of these tensors. */
  dtypes?: readonly string[];
  /** What to do about it. */
  advice?: string;
}

/** Characters of a message, whatever it quotes. */
const LONGEST = 4000;

/**
 * A text whose length has a bound, and with it each name that it quotes: 200 characters. Values are cut by shown.ts already; names
 * of tensors, of keys and of what a file holds are as long as their giver likes. The parts of a path count one by one.
 */
function bounded(text: string): string {
  if (text.length <= 200) return text;
  const words = text.slice(0, 100_000).replaceAll(/[^\s/]{211,}/g, word => `${word.slice(0, 200)}...`);
  return words.length > LONGEST ? `${words.slice(0, LONGEST)} ...` : words;
}

/** Every error Castor throws is one of these. The message reads: op: what is wrong. What to do. */
export class CastorError extends Error {
  /** What to do, where the thrower has nothing better to say. */
  protected static readonly advice: string | undefined = undefined;
  readonly #text: string;
  /** The function that was called, as in 'matmul'. */
  op: string | undefined;
  /** The shapes of the tensors that it was called with. */
  shapes: readonly (readonly number[])[];
  /** Their dtypes. */
  dtypes: readonly string[];
  /** What to do; it ends the message. */
  readonly advice: string | undefined;

  /** A message, and what is known of the call: op, shapes, dtypes and advice. */
  constructor(message: string, context: ErrorContext = {}) {
    super();
    this.name = new.target.name;
    this.#text = bounded(message);
    this.op = context.op;
    this.shapes = context.shapes ?? [];
    this.dtypes = context.dtypes ?? [];
    this.advice = context.advice ?? new.target.advice;
    this.#compose();
  }

  /** Adds what the thrower could not know; done on the way out by whoever does. */
  explain({ op, shapes = [], dtypes = [] }: ErrorContext): this {
    this.op ??= op;
    if (this.shapes.length === 0) this.shapes = shapes;
    if (this.dtypes.length === 0) this.dtypes = dtypes;
    this.#compose();
    return this;
  }
  #compose(): void {
    this.message = (this.op ? `${this.op}: ` : '') + this.#text + (this.advice ? `. ${bounded(this.advice)}` : '');
  }
}

/** Sizes that do not fit together, axes that are not there. */
export class ShapeError extends CastorError {
  protected static override readonly advice = 'Look at the shapes; reshape(), unsqueeze() and transpose() change them';
}
/** A dtype the op has no meaning or kernel for. */
export class DTypeError extends CastorError {
  protected static override readonly advice = 'Convert it with to(dtype)';
}
/** Tensors of two devices, or a device that is not available. */
export class DeviceError extends CastorError {
  protected static override readonly advice: string =
    'deviceInfo(device) says what is there; to(device) moves a tensor';
}
/** An earlier kernel crashed a GPU: whatever is on it is gone. */
export class DeviceLostError extends DeviceError {
  protected static override readonly advice =
    'Restart the process: in this one nothing runs on the device any more. The CPU device still works. With CUDA_LAUNCH_BLOCKING=1 the op that crashes is the one that fails';
}
/** What cannot be captured in a graph, or a capture that went wrong. */
export class GraphError extends CastorError {}
/** An index outside its axis. */
export class IndexError extends CastorError {
  protected static override readonly advice = 'An axis of size n has the positions -n to n - 1';
}
/** A value that makes no sense: negative sizes, NaN where a count is wanted, unknown options. */
export class ArgumentError extends CastorError {
  protected static override readonly advice = 'The description of the function says what it takes';
}
/** The memory of the tensor was given back. */
export class DisposedError extends CastorError {
  protected static override readonly advice =
    'Return it from tidy(), or protect it with keep(), to use it later; of a gradient, which zeroGrad() frees, keep a clone()';
}
/** Misuse of gradients: backward twice, in-place on a leaf, a saved tensor that changed. */
export class AutogradError extends CastorError {
  protected static override readonly advice = 'Look where requiresGrad, detach() and noGrad() stand on the way';
}
/** Autocast options or an op that autocast refuses. */
export class AutocastError extends CastorError {}
/** GradScaler calls out of order, or a scale that collapsed. */
export class ScalerError extends CastorError {
  protected static override readonly advice: string =
    'An iteration is scale(loss).backward(), perhaps unscale(), then step(), then update()';
}
/** Gradients that were not finite for many iterations in a row: the scale is not what is wrong. */
export class GradientOverflowError extends ScalerError {
  protected static override readonly advice =
    'Look at the learning rate, the data and the initialisation of these parameters';
  /** The parameters whose gradients were not finite when they were unscaled. */
  readonly parameters: readonly string[];

  /** A message, and the names of the parameters. */
  constructor(message: string, parameters: readonly string[]) {
    super(message, { op: 'GradScaler.update' });
    this.parameters = parameters;
  }
}
/** A checkpoint or state that is missing, damaged, or of another model; and one that cannot be written. */
export class CheckpointError extends CastorError {
  protected static override readonly advice =
    'Nothing was loaded: make the model and optimizer as they were when it was saved';
  /** Everything that does not fit, a line each, where the message names only the first of them. */
  readonly problems: readonly string[];

  /** A message, what is known of the call, and all problems. */
  constructor(message: string, context: ErrorContext = {}, problems: readonly string[] = []) {
    super(message, context);
    this.problems = problems;
  }
}
/** The native library is missing, damaged, or of another version. */
export class LibraryError extends CastorError {}
/** A bug of Castor: please report it. */
export class InternalError extends CastorError {
  protected static override readonly advice = 'This is a bug of Castor: please report it';
}

/**
 * Memory that is not to be had, also after everything unused was given back. Sizes in bytes; NaN when it was scratch memory of a
 * kernel.
 */
export class OutOfMemoryError extends CastorError {
  /** The size of the allocation that failed. */
  readonly wantedBytes: number;
  /** What tensors of this process hold on the device. */
  readonly liveBytes: number;
  /** What the device has left. */
  readonly freeBytes: number;

  /** A message, what is known of the call, and the sizes. */
  constructor(message: string, context: ErrorContext = {}, bytes = { wanted: NaN, live: NaN, free: NaN }) {
    super(message, context);
    this.wantedBytes = bytes.wanted;
    this.liveBytes = bytes.live;
    this.freeBytes = bytes.free;
  }
}
