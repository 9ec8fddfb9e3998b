/** The properties of an error besides its message. They identify the call that was wrong. */
export interface ErrorContext {
  /** The name of the function that was called. */
  op?: string;
  /** The shapes of the tensors that it was called with. */
  shapes?: readonly (readonly number[])[];
  /** The dtypes of these tensors. */
  dtypes?: readonly string[];
  /** Advice for the caller. */
  advice?: string;
}

/** The largest number of characters of a message. */
const LONGEST = 4000;

/**
 * Limits the length of a text, and of each name that it quotes to 200 characters. shown.ts limits values already, but
 * names of tensors, of keys and in files may have any length. The parts of a path are limited one by one.
 */
function bounded(text: string): string {
  if (text.length <= 200) return text;
  const words = text.slice(0, 100_000).replaceAll(/[^\s/]{211,}/g, word => `${word.slice(0, 200)}...`);
  return words.length > LONGEST ? `${words.slice(0, LONGEST)} ...` : words;
}

/** The base class of all errors that Castor throws. The message has the form "op: what is wrong. What to do". */
export class CastorError extends Error {
  /** The advice if the error has none of its own. */
  protected static readonly advice: string | undefined = undefined;
  readonly #text: string;
  /** The function that was called, such as 'matmul'. */
  op: string | undefined;
  /** The shapes of the tensors that it was called with. */
  shapes: readonly (readonly number[])[];
  /** Their dtypes. */
  dtypes: readonly string[];
  /** Advice for the caller, which ends the message. */
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

  /** Adds properties that were not known where the error was thrown. */
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

/** Sizes that do not fit together, or axes that do not exist. */
export class ShapeError extends CastorError {
  protected static override readonly advice = 'Look at the shapes; reshape(), unsqueeze() and transpose() change them';
}
/** A dtype for which the op is not defined or has no kernel. */
export class DTypeError extends CastorError {
  protected static override readonly advice = 'Convert it with to(dtype)';
}
/** Tensors of two devices, or a device that is not available. */
export class DeviceError extends CastorError {
  protected static override readonly advice: string =
    'deviceInfo(device) describes a device; to(device) moves a tensor';
}
/** An earlier kernel crashed a GPU, and all its memory is lost. */
export class DeviceLostError extends DeviceError {
  protected static override readonly advice =
    'Restart the process, since nothing runs on the device in this one any more. The CPU device still works. With CUDA_LAUNCH_BLOCKING=1 the error comes from the op that crashed';
}
/** A call that cannot be captured in a graph, or a capture that failed. */
export class GraphError extends CastorError {}
/** An index outside its axis. */
export class IndexError extends CastorError {
  protected static override readonly advice = 'An axis of size n has the positions -n to n - 1';
}
/** A value that is not valid: negative sizes, NaN in place of a count, unknown options. */
export class ArgumentError extends CastorError {
  protected static override readonly advice = 'Check the arguments against the documentation of the function';
}
/** The memory of the tensor was freed. */
export class DisposedError extends CastorError {
  protected static override readonly advice =
    'To use it later, return it from tidy() or pass it to keep(). zeroGrad() frees gradients, so clone a gradient to keep it';
}
/** Wrong use of gradients: a second backward, an in-place op on a leaf, a saved tensor that has changed. */
export class AutogradError extends CastorError {
  protected static override readonly advice = 'Look where requiresGrad, detach() and noGrad() stand on the way';
}
/** Invalid autocast options, or an op that autocast refuses. */
export class AutocastError extends CastorError {}
/** GradScaler calls in a wrong order, or a scale that became too small. */
export class ScalerError extends CastorError {
  protected static override readonly advice: string =
    'In each iteration call scale(loss).backward(), unscale() if needed, step() and update(), in this order';
}
/** Gradients were not finite for many iterations in a row, so the scale is not the reason. */
export class GradientOverflowError extends ScalerError {
  protected static override readonly advice =
    'Check the learning rate, the data and the initialisation of these parameters';
  /** The parameters whose gradients were not finite when they were unscaled. */
  readonly parameters: readonly string[];

  /** A message, and the names of the parameters. */
  constructor(message: string, parameters: readonly string[]) {
    super(message, { op: 'GradScaler.update' });
    this.parameters = parameters;
  }
}
/** A checkpoint or state that is missing, damaged or of another model, or that cannot be written. */
export class CheckpointError extends CastorError {
  protected static override readonly advice =
    'Nothing was loaded. Create the model and optimizer as they were when the checkpoint was saved';
  /** All problems, one per line. The message names only the first of them. */
  readonly problems: readonly string[];

  /** A message, what is known of the call, and all problems. */
  constructor(message: string, context: ErrorContext = {}, problems: readonly string[] = []) {
    super(message, context);
    this.problems = problems;
  }
}
/** A server has as much work waiting as it may: the request was not taken. */
export class OverloadedError extends CastorError {
  protected static override readonly advice: string =
    'Answer the client with status 503 or 429 and a Retry-After header of retryAfter seconds, or raise the limit';
  /** The requests that wait, or the bytes of their data if the limit is one of bytes. */
  readonly waiting: number;
  /** The largest number that may wait. */
  readonly limit: number;
  /** In how many seconds those that wait now will have been answered, as far as the times of earlier batches tell. */
  readonly retryAfter: number;

  /** A message, what is known of the call, and how full the queue is. */
  constructor(message: string, context: ErrorContext, { waiting = NaN, limit = NaN, retryAfter = 1 } = {}) {
    super(message, context);
    this.waiting = waiting;
    this.limit = limit;
    this.retryAfter = retryAfter;
  }
}
/** A request was not answered within its time limit. */
export class TimeoutError extends CastorError {
  protected static override readonly advice: string =
    'Answer the client with status 503 or 504, allow more time, or limit how many requests may wait with maxQueue';
  /** The time limit in milliseconds. */
  readonly timeout: number;

  /** A message, what is known of the call, and the time limit. */
  constructor(message: string, context: ErrorContext, timeout = NaN) {
    super(message, context);
    this.timeout = timeout;
  }
}
/** A server was closed and takes no more work. */
export class ClosedError extends CastorError {
  protected static override readonly advice: string =
    'Answer the client with status 503, so that it asks another server';
}
/** The native library is missing, damaged or of another version. */
export class LibraryError extends CastorError {}
/** Work of offload() that did not run, because its signal was aborted. */
export class AbortedError extends CastorError {}
/** A bug in Castor. Please report it. */
export class InternalError extends CastorError {
  protected static override readonly advice = 'This is a bug of Castor: please report it';
}

/**
 * An allocation failed, even after all unused memory was freed. Sizes are in bytes, NaN for temporary memory of a
 * kernel.
 */
export class OutOfMemoryError extends CastorError {
  /** The size of the allocation that failed. */
  readonly wantedBytes: number;
  /** The bytes that tensors of this process use on the device. */
  readonly liveBytes: number;
  /** The bytes that are free on the device. */
  readonly freeBytes: number;

  /** A message, what is known of the call, and the sizes. */
  constructor(message: string, context: ErrorContext = {}, bytes = { wanted: NaN, live: NaN, free: NaN }) {
    super(message, context);
    this.wantedBytes = bytes.wanted;
    this.liveBytes = bytes.live;
    this.freeBytes = bytes.free;
  }
}
