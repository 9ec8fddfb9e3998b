export {
  backward,
  enableGrad,
  grad,
  inferenceMode,
  isGradEnabled,
  isInferenceModeEnabled,
  noGrad,
  type GradOptions,
} from './autograd.ts';
export type { BackwardOptions } from './engine.ts';
export { checkpoint } from './checkpoint.ts';
export { customFunction, FunctionContext, type CustomFunction } from './function.ts';
export { gradcheck, type GradcheckOptions } from './gradcheck.ts';
