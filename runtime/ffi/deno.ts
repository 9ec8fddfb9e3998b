import { isMainThread } from 'node:worker_threads';
import { LibraryError } from '../errors.ts';
import { collectorOfV8 } from './collector.ts';
import type { CType, ForeignInterface, Functions, Signature } from './types.ts';

type DenoType = 'i32' | 'f64' | 'buffer' | 'pointer';
type Pointer = object | null;
interface DenoSignature {
  readonly parameters: readonly DenoType[];
  readonly result: DenoType;
}
type Permission = { name: 'ffi' } | { name: 'read'; path: string } | { name: 'env'; variable: string };
/** The parts of Deno that are used here. Deno's own declarations come with Deno alone. */
interface DenoNamespace {
  dlopen(
    path: string,
    signatures: Record<string, DenoSignature>,
  ): { symbols: Record<string, (...args: unknown[]) => unknown> };
  readonly UnsafePointer: { of(buffer: ArrayBuffer): Pointer; value(pointer: Pointer): bigint };
  readonly UnsafePointerView: { getCString(pointer: Pointer): string };
  readonly permissions: { requestSync(wanted: Permission): { readonly state: string } };
}
declare const Deno: DenoNamespace;

/** The permissions that loading the library takes. Addresses of buffers are given with --allow-ffi without a path alone. */
const needed: readonly Permission[] = [
  { name: 'ffi' },
  { name: 'read', path: import.meta.dirname },
  ...['CASTOR_LIBRARY', 'CASTOR_NUM_THREADS', 'CASTOR_ISA'].map(variable => ({ name: 'env', variable }) as const),
];
/** Asks the user where there is a terminal, as Deno does. @throws LibraryError for permissions that are not granted */
function checkPermissions(): void {
  const missing = needed.filter(wanted => Deno.permissions.requestSync(wanted).state !== 'granted');
  if (missing.length === 0) return;
  const flags = [...new Set(missing.map(({ name }) => `--allow-${name}`))].join(' ');
  throw new LibraryError(`Deno does not permit Castor to load its native library: ${flags} is missing`, {
    advice: 'Run: deno run --allow-ffi --allow-read --allow-env program.ts',
  });
}
checkPermissions();

const denoType = (type: CType): DenoType => (type === 'cstring' ? 'pointer' : type);
const denoSignature = ({ args, returns }: Signature): DenoSignature => ({
  parameters: args.map(denoType),
  result: denoType(returns),
});
const text = (pointer: unknown): string | null =>
  pointer === null ? null : Deno.UnsafePointerView.getCString(pointer as Pointer);

function open<const S extends Record<string, Signature>>(path: string, signatures: S): Functions<S> {
  const names = Object.entries(signatures);
  const { symbols } = Deno.dlopen(
    path,
    Object.fromEntries(names.map(([name, signature]) => [name, denoSignature(signature)])),
  );
  const functions = { ...symbols };
  for (const [name, { returns }] of names)
    if (returns === 'cstring') functions[name] = (...args) => text(symbols[name]!(...args));
  return functions as unknown as Functions<S>;
}

export const ffi: ForeignInterface = {
  open,
  address: buffer => Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer))),
  // A Worker of the web has a global scope of another class, and one of node:worker_threads says so itself.
  isWorker: !isMainThread || 'WorkerGlobalScope' in globalThis,
  // A callback blocks the thread that calls it until JavaScript has run it, and JavaScript may be waiting for the work of that thread.
  wake: null,
  collect: collectorOfV8(),
};
