import { isThenable, startsNothing } from '../context.ts';
import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { numbered } from './carried.ts';

/** The part of an optimizer that a GradScaler uses. */
export interface ScalableOptimizer {
  /** All parameters, with their gradients where they have one. */
  parameters(): Iterable<Tensor>;
  /**
   * Applies the gradients, unless foundInf (one float32 on the device) is not 0. If it is missing, or if a subclass overrides step()
   * without it, the scaler reads foundInf on the host and calls step() or not.
   */
  stepUnless?(foundInf: Tensor): void;
  /** Applies the gradients. If it returns a promise, the step is finished when the promise is settled. */
  step(): unknown;
  /** The name of a parameter for error messages. */
  nameOf?(parameter: Tensor): string | undefined;
}

/** @throws ArgumentError for a value that is not an optimizer */
export function checkOptimizer(optimizer: ScalableOptimizer, op: string): void {
  if (typeof optimizer?.parameters !== 'function' || typeof optimizer.step !== 'function')
    throw new ArgumentError(`${shown(optimizer)} is not an optimizer`, {
      op,
      advice: 'Pass an optimizer of castor.optim, or an object with parameters() and step()',
    });
}

/**
 * Can stepUnless() be used, so that the device decides whether the step is skipped? Not if step() was overridden, in a subclass or on
 * the object itself, without stepUnless(): then that step() has to run.
 */
export function stepsOnDevice(optimizer: ScalableOptimizer): boolean {
  for (let at: object | null = optimizer; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    if (Object.hasOwn(at, 'stepUnless')) return optimizer.stepUnless !== undefined;
    if (Object.hasOwn(at, 'step')) return false;
  }
  return false;
}

/** Returns the parameters that have a gradient. @throws ArgumentError if parameters() returns anything but tensors */
export function withGradients(optimizer: ScalableOptimizer, op: string): Tensor[] {
  const given: unknown = optimizer.parameters();
  const advice = 'parameters() has to return the tensors that the optimizer updates, as an array or another iterable';
  // A tensor is refused, although it is iterable: its rows are not parameters.
  if (isTensor(given) || typeof (given as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] !== 'function')
    throw new ArgumentError(`parameters() of the optimizer returned ${shown(given)}`, { op, advice });
  const parameters: Tensor[] = [];
  let count = 0;
  for (const parameter of given as Iterable<unknown>) {
    if (!isTensor(parameter))
      throw new ArgumentError(`parameter ${count} of the optimizer is ${shown(parameter)}, not a tensor`, {
        op,
        advice,
      });
    if (parameter.grad !== null) parameters.push(parameter);
    count++;
  }
  return parameters;
}

/** Returns the name of a parameter for error messages: the one that the optimizer gives, else its number and shape. */
export const nameOf = (optimizer: ScalableOptimizer, parameter: Tensor): string =>
  optimizer.nameOf?.(parameter) ?? numbered(optimizer.parameters(), parameter);

/** The result of one step. */
export interface StepResult {
  /** Was the step skipped because a gradient was infinite or NaN? Only awaiting this promise waits for the device. */
  readonly skipped: Promise<boolean>;
}

/**
 * Makes the result of one step. `skipped` is called when the property of that name is read. Awaiting the result itself waits for
 * `decision`, if there is one.
 */
export function stepResult(
  skipped: () => Promise<boolean>,
  decision: Promise<unknown> | null,
): StepResult & PromiseLike<StepResult> {
  const plain: StepResult = {
    get skipped() {
      return skipped();
    },
  };
  // The awaited value must not have a `then` itself, or `await` would call that again, without end.
  const then: PromiseLike<StepResult>['then'] = (done, failed) =>
    Promise.resolve(decision)
      .then(() => plain)
      .then(done, failed);
  return Object.create(plain, { then: { value: then }, [startsNothing]: { value: true } }) as StepResult &
    PromiseLike<StepResult>;
}

/** Runs a step for a disabled scaler. */
export function withoutScaler(optimizer: ScalableOptimizer): StepResult & PromiseLike<StepResult> {
  const applied = optimizer.step();
  const over = isThenable(applied) ? Promise.resolve(applied) : null;
  return stepResult(async () => {
    await over;
    return false;
  }, over);
}
