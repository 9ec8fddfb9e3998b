import { isMainThread } from 'node:worker_threads';
import { LibraryError } from '../errors.ts';
import { awaitCompilersAtExit, collectorOfV8 } from './collector.ts';
import type { CType, ForeignInterface, Functions, Signature } from './types.ts';

type NodeType = 'int32' | 'float64' | 'buffer' | 'pointer';
/** The parts of node:ffi that are used here. */
interface NodeForeignInterface {
  dlopen(
    path: string,
    signatures: Record<string, { arguments: readonly NodeType[]; return: NodeType }>,
  ): { functions: Record<string, (...args: unknown[]) => unknown> };
  getRawPointer(buffer: ArrayBuffer): bigint;
  toString(pointer: bigint): string;
}
/** The first version of Node that has node:ffi without a flag. */
const NEEDED = 26;

/** @throws LibraryError where there is no node:ffi, or Node does not permit it */
function nodeForeignInterface(): NodeForeignInterface {
  const found = process.getBuiltinModule?.('node:ffi') as NodeForeignInterface | undefined;
  if (!found) throw new LibraryError(`Castor needs node:ffi, which this Node ${process.version} does not have`, absent);
  if (process.permission?.has('ffi') === false)
    throw new LibraryError('Node does not permit Castor to load its native library: --allow-ffi is missing', {
      advice: 'Run: node --permission --allow-ffi --allow-fs-read=* program.ts',
    });
  return found;
}
const absent = {
  advice: `Update to Node ${NEEDED} or newer, without --no-experimental-ffi, or run the program with Bun or Deno`,
};
const foreign = nodeForeignInterface();
awaitCompilersAtExit();

const nodeTypes = { i32: 'int32', f64: 'float64', buffer: 'buffer', cstring: 'pointer' } as const satisfies Record<
  CType,
  NodeType
>;
const text = (pointer: unknown): string | null => (pointer ? foreign.toString(pointer as bigint) : null);

function open<const S extends Record<string, Signature>>(path: string, signatures: S): Functions<S> {
  const names = Object.entries(signatures);
  const nodeSignature = ({ args, returns }: Signature) =>
    ({ arguments: args.map(type => nodeTypes[type]), return: nodeTypes[returns] }) as const;
  const { functions: found } = foreign.dlopen(
    path,
    Object.fromEntries(names.map(([name, signature]) => [name, nodeSignature(signature)])),
  );
  const functions = { ...found };
  for (const [name, { returns }] of names)
    if (returns === 'cstring') functions[name] = (...args) => text(found[name]!(...args));
  return functions as unknown as Functions<S>;
}

export const ffi: ForeignInterface = {
  open,
  address: buffer => Number(foreign.getRawPointer(buffer)),
  isWorker: !isMainThread,
  // A callback of node:ffi may be called on the thread of JavaScript alone.
  wake: null,
  collect: collectorOfV8(),
};
