import { appendFileSync, closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import * as castor from 'castor';
import { chainFor, chainSource } from './chains.ts';
import { Dice } from './dice.ts';
import { argumentsFor, targets, type Target } from './targets.ts';
import { everything, help, Thrown, valueOf } from './values.ts';

export type Outcome = 'result' | 'typed' | 'caller' | 'internal' | 'wrong';
export interface Finding {
  readonly outcome: Outcome | 'crash' | 'hang' | 'memory';
  /** Findings with the same key count as one. */
  readonly key: string;
  readonly call: number;
  readonly source: string;
  readonly text: string;
}

const CHAIN_SHARE = 0.04;
/** The bytes that the tensors of a worker may use. Larger requests fail with OutOfMemoryError. */
export const TENSOR_BYTES = 2 ** 30;

const framesOf = (error: unknown): string[] =>
  ((error instanceof Error && error.stack) || '').split('\n').filter(line => /^\s+at /.test(line));
/**
 * Whether an error was thrown by code of the caller, such as a callback that got an unexpected value or a chain that
 * reads a property of null.
 */
export const isCallers = (error: unknown): boolean =>
  framesOf(error)
    .find(line => !/\((native|unknown)\)|native code/.test(line))
    ?.includes('/runtime/') === false;

/** The first stack frames inside Castor, by which findings are distinguished. */
const frameOf = (error: Error): string =>
  framesOf(error)
    .filter(line => line.includes('/runtime/'))
    .slice(0, 2)
    .map(line =>
      line
        .trim()
        .replace(/.*\/runtime\//, 'runtime/')
        .replace(/:\d+\)?$/, ''),
    )
    .join(' < ');

function outcomeOf(error: unknown): Outcome {
  if (error instanceof castor.InternalError) return 'internal';
  if (error instanceof castor.CastorError) return error.message.length > 6000 ? 'wrong' : 'typed';
  // JavaScript refuses to read private fields through a Proxy, those of a Map as well as those of a tensor.
  const isProxys = error instanceof TypeError && /invalid private field/.test(error.message);
  return error instanceof Thrown || error === 1 || isProxys || isCallers(error) ? 'caller' : 'internal';
}

/**
 * Whether this is an error of the operating system about a file or folder that the command line or a data folder names.
 * Such errors are passed on unchanged.
 */
export const isSystems = (name: string, error: unknown): boolean =>
  /^(train|data)\./.test(name) && error instanceof Error && 'syscall' in error;

/** @throws Error for a result that is inconsistent */
function checkResult(value: unknown, depth = 0): void {
  if (value instanceof castor.Tensor && castor.Tensor.isGenuine(value)) {
    const { shape, numel, disposed } = value;
    if (!shape.every(size => Number.isSafeInteger(size) && size >= 0)) throw new Error(`a shape [${shape.join(', ')}]`);
    if (shape.reduce((n, size) => n * size, 1) !== numel) throw new Error(`${numel} elements of [${shape.join(', ')}]`);
    if (!disposed && numel <= 10_000 && value.dataSync().length !== numel) throw new Error('elements are missing');
  } else if (Array.isArray(value) && depth < 2) for (const item of value.slice(0, 20)) checkResult(item, depth + 1);
}

/** Restores the global settings that a call may have changed. */
export function restore(): void {
  castor.setDefaultDType('float32');
  castor.setDefaultDevice('cpu');
  castor.setFloat32MatmulPrecision('highest');
  castor.memory.setLeakMode(false);
  castor.memory.setFraction(1);
  castor.memory.setLimit(TENSOR_BYTES);
  castor.setNumThreads(1);
  process.exitCode = 0;
}

interface Running {
  source: string;
  found: (outcome: Outcome, error: unknown, source?: string) => void;
}

function invoke(target: Target, receiver: any, args: readonly unknown[]): unknown {
  const callee = target.receiver === null ? (valueOf(target.callee) as any) : null;
  if (target.kind === 'constructor') return new callee(...args);
  if (target.kind === 'function') return callee(...args);
  if (target.kind === 'getter') return receiver[target.callee];
  if (target.kind === 'setter') return void (receiver[target.callee] = args[0]);
  return receiver[target.callee](...args);
}

async function oneCall(dice: Dice, running: Running, begin: () => void): Promise<void> {
  const target = dice.pick(targets);
  const on = target.receiver?.(dice) ?? '';
  running.source = `${target.name} on ${on}`;
  let receiver: unknown = null;
  try {
    receiver = on === '' ? null : valueOf(on);
  } catch {
    return;
  }
  const args = argumentsFor(dice, target);
  const list = args.map(({ source }) => source).join(', ');
  const place = target.receiver === null ? target.callee : `(${on}).${target.callee}`;
  running.source =
    { constructor: `new ${place}(${list})`, getter: place, setter: `${place} = ${list || 'undefined'}` }[
      target.kind as 'getter'
    ] ?? `${place}(${list})`;
  begin();
  try {
    const given = invoke(
      target,
      receiver,
      args.map(({ value }) => value),
    );
    // A promise of the caller that a function passes through may never settle.
    const result = given instanceof Promise ? await given : given;
    try {
      checkResult(result);
      running.found('result', null);
    } catch (error) {
      running.found(outcomeOf(error) === 'typed' ? 'typed' : 'wrong', error);
    }
  } catch (error) {
    running.found(isSystems(target.name, error) ? 'typed' : outcomeOf(error), error);
  }
}

async function oneChain(dice: Dice, running: Running, begin: () => void): Promise<void> {
  const chain = chainFor(dice);
  running.source = chain.join('; ');
  begin();
  const run = new Function('C', 'h', `return ${chainSource(chain)}`)(everything, { ...help, Thrown }) as (
    on: (error: unknown, action: string) => void,
  ) => Promise<void>;
  await run((error, action) => {
    running.found(outcomeOf(error), error, `${action} (in: ${running.source})`);
  });
  running.found('result', null);
}

/** Faults that a test of the fuzzer injects at the fifth call. Each must be found. */
const planted: Readonly<Record<string, () => void>> = {
  hang: () => {
    for (;;);
  },
  crash: () => process.kill(process.pid, 'SIGSEGV'),
  memory: () => {
    const held: Uint8Array[] = [];
    for (;;) held.push(new Uint8Array(2 ** 25).fill(1));
  },
  internal: () => {
    throw new castor.InternalError('planted');
  },
};

function plantedFault(running: Running, begin: () => void): void {
  const fault = planted[process.env.CASTOR_FUZZ_PLANT ?? 'none'];
  if (fault === undefined) return;
  running.source = 'planted()';
  begin();
  fault();
}

/** Makes the calls from..to, and writes the findings and the number of the current call to files. */
export async function work(seed: number, from: number, to: number, folder: string, verbose = false): Promise<void> {
  process.chdir(folder);
  const status = openSync(`${folder}/status`, 'w');
  let counts: Record<string, number> = {};
  const writeCounts = (): void => {
    appendFileSync(`${folder}/counts`, `${JSON.stringify(counts)}\n`);
    counts = {};
  };
  let call = from;
  const running: Running = {
    source: '',
    found(outcome, error, source = running.source) {
      counts[outcome] = (counts[outcome] ?? 0) + 1;
      if (verbose) console.error(outcome, source, error instanceof Error ? error.stack : error);
      if (outcome !== 'internal' && outcome !== 'wrong') return;
      const e = error instanceof Error ? error : new Error(String(error));
      const key = `${outcome} ${e.name}: ${e.message
        .replace(/ is (an instance of )?\S+\)$/, '')
        .replace(/[\d.]+/g, '#')
        .slice(0, 60)} at ${frameOf(e)}`;
      const finding: Finding = {
        outcome,
        key,
        call,
        source: source.slice(0, 2000),
        text: `${e.name}: ${e.message}`.slice(0, 300),
      };
      appendFileSync(`${folder}/findings`, `${JSON.stringify(finding)}\n`);
    },
  };
  process.on('unhandledRejection', error => {
    const outcome = outcomeOf(error);
    if (outcome === 'internal') running.found(outcome, error);
  });
  process.on('uncaughtException', error => {
    const outcome = outcomeOf(error);
    if (outcome === 'internal') running.found(outcome, error);
  });
  const begin = (): void => {
    const text = Buffer.from(`${call}\n${running.source.slice(0, 4000)}`);
    writeSync(status, text, 0, text.length, 0);
    ftruncateSync(status, text.length);
  };
  for (; call < to; call++) {
    restore();
    castor.manualSeed(call);
    const dice = new Dice(seed, call);
    const one = dice.chance(CHAIN_SHARE) ? oneChain : oneCall;
    running.source = 'arguments';
    begin();
    try {
      if (call === 4) plantedFault(running, begin);
      await castor.tidy(() => one(dice, running, begin));
    } catch (error) {
      running.found(outcomeOf(error), error);
    }
    if (call % 20 === 19) writeCounts();
    if (call % 200 === 199) {
      castor.memory.collect();
      await Bun.sleep(0);
    }
  }
  closeSync(status);
  writeCounts();
}
