import './ops/methods.ts';
import './ops/derivatives/index.ts';

export * from './errors.ts';
export { Tensor } from './tensor/tensor.ts';
export {
  arange,
  bernoulli,
  empty,
  emptyLike,
  eye,
  fromTypedArray,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  rand,
  randint,
  randintLike,
  randLike,
  randn,
  randnLike,
  randperm,
  tensor,
  zeros,
  zerosLike,
  type RandomOptions,
  type TensorData,
  type TensorOptions,
} from './tensor/create.ts';
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
export {
  deviceInfo,
  getDefaultDevice,
  getFloat32MatmulPrecision,
  isAvailable,
  setDefaultDevice,
  setFloat32MatmulPrecision,
  type Device,
  type DeviceInfo,
  type Float32MatmulPrecision,
} from './tensor/device.ts';
export * as graph from './graph.ts';
export { keep, tidy } from './tensor/scope.ts';
export { warnings, type WarningCode } from './tensor/warnings.ts';
export { memory, setNumThreads, synchronize } from './tensor/memory.ts';
export type { Nested } from './tensor/read.ts';
export type { Shape } from './tensor/shape.ts';
export { cat, F, stack } from './ops/functional.ts';
export { enableGrad, isGradEnabled, noGrad } from './autograd/autograd.ts';
export * as autograd from './autograd/index.ts';
export {
  autocast,
  autocastDtype,
  clearAutocastCache,
  isAutocastEnabled,
  type AutocastOptions,
  type AutocastSettings,
} from './amp/autocast.ts';
export { customBwd, customFwd, type CustomFwdOptions } from './amp/custom.ts';
export type { Overrides, Policy, PolicyName } from './amp/policy.ts';
export { AutocastReport, type ReportedCast, type ReportedOp } from './amp/report.ts';
export { bindContext, streamInContext } from './context.ts';
export { GradScaler } from './amp/gradScaler.ts';
export type { GradScalerOptions, Skip } from './amp/scalerOptions.ts';
export type { Losses, Scaled } from './amp/losses.ts';
export type { ScalableOptimizer, StepResult } from './amp/scalable.ts';
export type { PyTorchScalerState, ScalerState } from './amp/scalerState.ts';
export * as nn from './nn/index.ts';
export * as optim from './optim/index.ts';
export * as data from './data/index.ts';
export * as io from './io/index.ts';
export * as train from './train/index.ts';
