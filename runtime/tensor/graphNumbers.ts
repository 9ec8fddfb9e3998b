import { GraphError } from '../errors.ts';
import { zeros } from './create.ts';
import { deviceName } from './device.ts';
import { holdInGraph, type GraphCapture } from './graphCapture.ts';
import { keep } from './scope.ts';
import { viewOf, type Tensor } from './tensor.ts';

/** The number of learning rates that the steps of a graph may read. Each group of parameters of each step reads one. */
const ROOM = 256;

/**
 * Numbers on the device that the host writes before each replay of a graph. Their memory is there before the capture begins, because the
 * ops of a graph share its own memory by turns.
 */
export class GraphNumbers {
  readonly #memory: Tensor;
  #taken = 0;

  constructor(device: number) {
    this.#memory = keep(zeros([ROOM], { dtype: 'float64', device: deviceName(device) }));
  }

  /** Returns a float64 that no other number of the graph uses. The graph frees it. */
  take(capture: GraphCapture, op: string): Tensor {
    if (this.#taken === ROOM)
      throw new GraphError(`a graph has room for ${ROOM} learning rates`, {
        op,
        advice: 'Capture fewer steps, or fewer groups of parameters, in one graph',
      });
    if (this.#taken === 0) holdInGraph(capture, this.#memory);
    return viewOf(this.#memory, [], [], this.#taken++);
  }

  /** Frees the memory at the end of a capture that failed or that took no number. */
  close(failed: boolean): void {
    if (failed || this.#taken === 0) this.#memory.dispose();
  }
}

let numbers: GraphNumbers | null = null;
/** The numbers of the capture in progress. */
export const currentNumbers = (): GraphNumbers | null => numbers;
export function setNumbers(to: GraphNumbers | null): void {
  numbers = to;
}
