/** Runs before the program, on Deno and Node: makes `Bun` and, on Node, `bun:test` known. Deno reads the names in deno.json. */
import { registerHooks } from 'node:module';
import { bun } from './bunGlobal.ts';

Object.assign(globalThis, { Bun: bun });
/** Tests look at the warnings of the process, and Node's on node:ffi is not Castor's. */
const emit = process.emit.bind(process) as (event: string, ...values: unknown[]) => boolean;
process.emit = ((event: string, ...values: unknown[]) =>
  !(event === 'warning' && (values[0] as Error).name === 'ExperimentalWarning') &&
  emit(event, ...values)) as typeof process.emit;
const names: Record<string, string> = { 'bun:test': './bunTest.ts' };
if (!('deno' in process.versions))
  registerHooks({
    resolve: (name, context, next) =>
      names[name] ? { url: new URL(names[name], import.meta.url).href, shortCircuit: true } : next(name, context),
  });
