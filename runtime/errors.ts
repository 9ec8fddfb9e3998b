/** What an error knows beside its text: enough to find the call that was wrong. */
export interface ErrorContext {
  op?: string;
  shapes?: readonly (readonly number[])[];
  dtypes?: readonly string[];
  advice?: string;
}

/** Every error Castor throws is one of these. The message reads: op: what is wrong. What to do. */
export class CastorError extends Error {
  readonly op: string | undefined;
  readonly shapes: readonly (readonly number[])[];
  readonly dtypes: readonly string[];
  readonly advice: string | undefined;

  constructor(message: string, context: ErrorContext = {}) {
    const prefix = context.op ? `${context.op}: ` : '';
    super(prefix + message + (context.advice ? `. ${context.advice}` : ''));
    this.name = new.target.name;
    this.op = context.op;
    this.shapes = context.shapes ?? [];
    this.dtypes = context.dtypes ?? [];
    this.advice = context.advice;
  }
}

/** Sizes that do not fit together, axes that are not there. */
export class ShapeError extends CastorError {}
/** A dtype the op has no meaning or kernel for. */
export class DTypeError extends CastorError {}
/** Tensors of two devices, or a device that is not available. */
export class DeviceError extends CastorError {}
/** An index outside its axis. */
export class IndexError extends CastorError {}
/** A value that makes no sense: negative sizes, NaN where a count is wanted, unknown options. */
export class ArgumentError extends CastorError {}
/** The memory of the tensor was given back. */
export class DisposedError extends CastorError {}
/** Misuse of gradients: backward twice, in-place on a leaf, a saved tensor that changed. */
export class AutogradError extends CastorError {}
/** Autocast options or an op that autocast refuses. */
export class AutocastError extends CastorError {}
/** GradScaler calls out of order, or a scale that collapsed. */
export class ScalerError extends CastorError {}
/** A checkpoint that is missing, truncated, or of another model. */
export class CheckpointError extends CastorError {}
/** The native library is missing, damaged, or of another version. */
export class LibraryError extends CastorError {}
/** A bug of Castor: please report it. */
export class InternalError extends CastorError {}

/** Memory that is not to be had, also after everything unused was given back. Sizes in bytes. */
export class OutOfMemoryError extends CastorError {
  readonly wantedBytes: number;
  readonly liveBytes: number;
  readonly freeBytes: number;

  constructor(message: string, bytes: { wanted: number; live: number; free: number }, context: ErrorContext = {}) {
    super(message, context);
    this.wantedBytes = bytes.wanted;
    this.liveBytes = bytes.live;
    this.freeBytes = bytes.free;
  }
}
