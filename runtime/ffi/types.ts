/**
 * The types of arguments and results of the C ABI: see abi/castor.h. Addresses, handles and byte counts are passed as
 * f64.
 */
export type CType = 'i32' | 'f64' | 'buffer' | 'cstring';
export interface Signature {
  readonly args: readonly CType[];
  readonly returns: CType;
}

/** The built-in classes of typed arrays. */
export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float16Array
  | Float32Array
  | Float64Array;

interface HostType {
  i32: number;
  f64: number;
  buffer: TypedArray;
  cstring: string;
}
type HostTypes<A extends readonly CType[]> = { -readonly [I in keyof A]: HostType[A[I]] };
export type Functions<S extends Record<string, Signature>> = {
  readonly [K in keyof S]: (...args: HostTypes<S[K]['args']>) => HostType[S[K]['returns']];
};

/**
 * The functions that Castor needs from a JavaScript runtime. There is one file for each runtime, chosen by "#ffi" in package.json.
 */
export interface ForeignInterface {
  /** Opens a shared library. Throws if it cannot be loaded or a symbol is missing. */
  open<const S extends Record<string, Signature>>(path: string, signatures: S): Functions<S>;
  /** The address of a buffer that has an ArrayBuffer of its own (the memory of others may move). */
  address(buffer: ArrayBuffer): number;
  /**
   * Is this thread a Worker? A Worker may be terminated at any time without notice, and its callbacks end with it.
   */
  readonly isWorker: boolean;
  /**
   * Returns the address of a native function that may be called from any thread, and calls fn on the JavaScript thread.
   * null if the runtime has no such functions, if they block the thread that calls them, or if they may end before the process does: then the library is asked for work
   * that is done.
   */
  readonly wake: ((fn: (id: number) => void) => number) | null;
  /**
   * Runs the garbage collector, so that WeakRefs to dead objects are cleared even within synchronous code. null if the
   * runtime cannot.
   */
  readonly collect: ((full: boolean) => void) | null;
}
