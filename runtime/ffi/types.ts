/** The types that cross the border: see abi/castor.h. Addresses, handles and byte counts travel as f64. */
export type CType = 'i32' | 'f64' | 'buffer' | 'cstring';
export interface Signature {
  readonly args: readonly CType[];
  readonly returns: CType;
}

interface HostType {
  i32: number;
  f64: number;
  buffer: NodeJS.TypedArray;
  cstring: string;
}
type HostTypes<A extends readonly CType[]> = { -readonly [I in keyof A]: HostType[A[I]] };
export type Functions<S extends Record<string, Signature>> = {
  readonly [K in keyof S]: (...args: HostTypes<S[K]['args']>) => HostType[S[K]['returns']];
};

/** What a JavaScript runtime must offer; one file a runtime, chosen by "#ffi" in package.json. */
export interface ForeignInterface {
  /** Opens a shared library. Throws when it cannot be loaded or a symbol is missing. */
  open<const S extends Record<string, Signature>>(path: string, signatures: S): Functions<S>;
  /** Address of a buffer that is backed by an ArrayBuffer of its own (others may move). */
  address(buffer: ArrayBuffer): number;
  /** Is this a thread beside the main one? Those may be terminated at any time, without a word, and take their callbacks with them. */
  readonly isWorker: boolean;
  /** Address of a native function that calls fn on the JavaScript thread, from whichever thread it is called. */
  wake(fn: (id: number) => void): number;
  /** Makes dead objects visible to WeakRef at once, inside synchronous code; null where the runtime cannot. */
  readonly collect: ((full: boolean) => void) | null;
}
