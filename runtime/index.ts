import './ops/methods.ts';

export * from './errors.ts';
export { Tensor } from './tensor/tensor.ts';
export * from './tensor/create.ts';
export { Generator, generator, manualSeed, withGenerator } from './tensor/generator.ts';
export {
  dtypeNames,
  getDefaultDType,
  setDefaultDType,
  type DType,
  type FloatDType,
  type LowDType,
  type TypedArrayOf,
} from './tensor/dtype.ts';
export { deviceInfo, getDefaultDevice, isAvailable, setDefaultDevice, type Device } from './tensor/device.ts';
export { keep, tidy } from './tensor/scope.ts';
export { memory, setNumThreads, synchronize } from './tensor/memory.ts';
export type { Nested } from './tensor/read.ts';
export type { Shape } from './tensor/shape.ts';
export { cat, F, stack } from './ops/functional.ts';
export { enableGrad, isGradEnabled, noGrad } from './autograd/autograd.ts';
export * as autograd from './autograd/index.ts';
export { autocast, autocastDType, isAutocastEnabled, type AutocastOptions } from './amp/autocast.ts';
export { policyTable } from './amp/policy.ts';
export { GradScaler, type GradScalerOptions } from './amp/gradScaler.ts';
export * as nn from './nn/index.ts';
export * as optim from './optim/index.ts';
export * as data from './data/index.ts';
export * as io from './io/index.ts';
export * as train from './train/index.ts';
