import { isThenable, startsNothing } from '../context.ts';
import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { numbered } from './carried.ts';

/** What the scaler needs of an optimizer. */
export interface ScalableOptimizer {
  /** All parameters, with their gradients where they have one. */
  parameters(): Iterable<Tensor>;
  /**
   * Applies the gradients, unless foundInf (one float32 on the device) is not 0. Absent, or older than a step()
   * that a subclass defines: the scaler waits and decides itself.
   */
  stepUnless?(foundInf: Tensor): void;
  /** Applies the gradients. When it returns a promise, the step is over when that is settled. */
  step(): unknown;
  /** What messages call a parameter by. */
  nameOf?(parameter: Tensor): string | undefined;
}

/** @throws ArgumentError for what is no optimizer */
export function checkOptimizer(optimizer: ScalableOptimizer, op: string): void {
  if (typeof optimizer?.parameters !== 'function' || typeof optimizer.step !== 'function')
    throw new ArgumentError(`${shown(optimizer)} is no optimizer`, {
      op,
      advice: 'Pass one of optim, or an object with parameters() and step()',
    });
}

/**
 * Does the optimizer skip steps on the device by itself? Not where a subclass, or somebody who has replaced the method of the object,
 * has put a step() before stepUnless(): that one is to run.
 */
export function stepsOnDevice(optimizer: ScalableOptimizer): boolean {
  for (let at: object | null = optimizer; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    if (Object.hasOwn(at, 'stepUnless')) return optimizer.stepUnless !== undefined;
    if (Object.hasOwn(at, 'step')) return false;
  }
  return false;
}

/** The parameters that have a gradient. @throws ArgumentError for what is no tensor */
export function withGradients(optimizer: ScalableOptimizer, op: string): Tensor[] {
  const given: unknown = optimizer.parameters();
  const advice = 'Its parameters() gives the tensors that it updates, as an array or another iterable';
  if (typeof (given as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] !== 'function')
    throw new ArgumentError(`parameters() of the optimizer returned ${shown(given)}`, { op, advice });
  const parameters: Tensor[] = [];
  let count = 0;
  for (const parameter of given as Iterable<unknown>) {
    if (!isTensor(parameter))
      throw new ArgumentError(`parameter ${count} of the optimizer is ${shown(parameter)}, no tensor`, { op, advice });
    if (parameter.grad !== null) parameters.push(parameter);
    count++;
  }
  return parameters;
}

/** What messages call a parameter. */
export const nameOf = (optimizer: ScalableOptimizer, parameter: Tensor): string =>
  optimizer.nameOf?.(parameter) ?? numbered(optimizer.parameters(), parameter);

/** Of one step. */
export interface StepResult {
  /** Was it skipped, because a gradient was not finite? Reading it waits for the device; training does not have to. */
  readonly skipped: Promise<boolean>;
}

/** `skipped` asks the device only when somebody wants to know. Awaited, it waits for what the host had to decide, if anything. */
export function stepResult(
  skipped: () => Promise<boolean>,
  decision: Promise<unknown> | null,
): StepResult & PromiseLike<StepResult> {
  const plain: StepResult = {
    get skipped() {
      return skipped();
    },
  };
  // What is handed over has no `then`, or awaiting it would never end.
  const then: PromiseLike<StepResult>['then'] = (done, failed) =>
    Promise.resolve(decision)
      .then(() => plain)
      .then(done, failed);
  return Object.create(plain, { then: { value: then }, [startsNothing]: { value: true } }) as StepResult &
    PromiseLike<StepResult>;
}

/** A step of a disabled scaler. */
export function withoutScaler(optimizer: ScalableOptimizer): StepResult & PromiseLike<StepResult> {
  const applied = optimizer.step();
  const over = isThenable(applied) ? Promise.resolve(applied) : null;
  return stepResult(async () => {
    await over;
    return false;
  }, over);
}
