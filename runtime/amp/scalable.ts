import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { format } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';

/** What the scaler needs of an optimizer. */
export interface ScalableOptimizer {
  /** All parameters, with their gradients where they have one. */
  parameters(): Iterable<Tensor>;
  /** Applies the gradients, unless foundInf (one float32 on the device) is not 0. Absent: the scaler waits and decides itself. */
  stepUnless?(foundInf: Tensor): void;
  step(): void;
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

/** The parameters that have a gradient. @throws ArgumentError for what is no tensor */
export function withGradients(optimizer: ScalableOptimizer): Tensor[] {
  const parameters = [...optimizer.parameters()];
  const wrong = parameters.findIndex(parameter => !isTensor(parameter));
  if (wrong >= 0)
    throw new ArgumentError(`parameter ${wrong} of the optimizer is ${shown(parameters[wrong])}, no tensor`, {
      op: 'GradScaler.unscale',
      advice: 'Its parameters() gives the tensors it updates',
    });
  return parameters.filter(parameter => parameter.grad !== null);
}

/** What messages call a parameter. */
export function nameOf(optimizer: ScalableOptimizer, parameter: Tensor): string {
  const name = optimizer.nameOf?.(parameter);
  return name ?? `parameter ${[...optimizer.parameters()].indexOf(parameter)} of shape ${format(parameter.shape)}`;
}

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
  return Object.create(plain, { then: { value: then } }) as StepResult & PromiseLike<StepResult>;
}
