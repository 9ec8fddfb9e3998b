import v8 from 'node:v8';
import { createContext, runInNewContext, Script } from 'node:vm';

/** The function that V8 has where --expose-gc is given. A minor collection looks at young objects only. */
type Collect = (options?: { type: 'minor' }) => void;

/** Was V8 told to refuse changes of its flags? It ends the process for one. */
const frozen = (): boolean => process.execArgv.some(argument => /freeze[-_]flags/.test(argument));

function exposedCollector(): Collect | undefined {
  const { gc } = globalThis as { gc?: Collect };
  if (gc || frozen()) return gc;
  v8.setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect | undefined;
}

/** Waits until V8's threads compile nothing more. */
function awaitCompilers(): void {
  const allowed = process.execArgv.some(argument => /^--allow[-_]natives[-_]syntax$/.test(argument));
  v8.setFlagsFromString('--allow-natives-syntax');
  try {
    new Script('%WaitForBackgroundOptimization()').runInThisContext();
  } catch {
    // Another version of V8 may not have this function. The program then ends as Node lets it.
  } finally {
    if (!allowed) v8.setFlagsFromString('--no-allow-natives-syntax');
  }
}

/**
 * Lets a program, or a Worker, end only when V8's threads compile nothing more. At the end Node frees what it told V8 about the functions of
 * the library, without looking whether a compiler is just reading it: one program in ten ended with a segmentation fault (Node 26.12).
 */
export function awaitCompilersAtExit(): void {
  if (!frozen()) process.on('exit', awaitCompilers);
}

/**
 * Returns the `collect` of the interface for V8, the engine of Deno and Node; null where V8 does not let its collector be called.
 *
 * V8 keeps the target of a new WeakRef until the running job ends, or until a queue of microtasks has been worked off. So a queue of its
 * own is worked off first, whose only microtask does nothing: those of the program wait on another queue, and none of them runs.
 */
export function collectorOfV8(): ((full: boolean) => void) | null {
  try {
    const gc = exposedCollector();
    if (typeof gc !== 'function') return null;
    const queue = createContext({}, { microtaskMode: 'afterEvaluate' });
    const microtask = new Script('Promise.resolve().then(() => {})');
    return full => {
      microtask.runInContext(queue);
      if (full) gc();
      else gc({ type: 'minor' });
    };
  } catch {
    return null;
  }
}
