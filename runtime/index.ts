import './ops/methods.ts';
import './ops/derivatives/index.ts';
import * as graph from './graph.ts';
import * as autograd from './autograd/index.ts';
import * as nn from './nn/index.ts';
import * as optim from './optim/index.ts';
import * as data from './data/index.ts';
import * as io from './io/index.ts';
import * as train from './train/index.ts';

export * from './errors.ts';
export { Tensor } from './tensor/tensor.ts';
export {
  arange,
  bernoulli,
  empty,
  eye,
  fromTypedArray,
  full,
  linspace,
  ones,
  rand,
  randint,
  randn,
  randperm,
  tensor,
  zeros,
  type RandomOptions,
  type TensorData,
  type TensorOptions,
} from './tensor/create.ts';
export { fromShared, type SharedTensor } from './tensor/share.ts';
export { emptyLike, fullLike, onesLike, randintLike, randLike, randnLike, zerosLike } from './tensor/createLike.ts';
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
export { keep, tidy } from './tensor/scope.ts';
export { warnings, type WarningCode } from './tensor/warnings.ts';
export { memory, setNumThreads, synchronize } from './tensor/memory.ts';
export { offload, type OffloadOptions } from './offload.ts';
export type { TypedArray } from './ffi/types.ts';
export type { Nested } from './tensor/read.ts';
export type { Shape } from './tensor/shape.ts';
export { cat, F, stack } from './ops/functional.ts';
export { enableGrad, inferenceMode, isGradEnabled, isInferenceModeEnabled, noGrad } from './autograd/autograd.ts';
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

// The comment of a namespace has to stand on its name in a list: editors show no other.
export {
  /** Work that is recorded once and replayed with one call. PyTorch: `torch.cuda.graphs`. */
  graph,
  /** Gradients: grad(), checkpoint(), functions of your own, gradcheck(). PyTorch: `torch.autograd`. */
  autograd,
  /** Modules: layers, losses, initialisation and clipping. PyTorch: `torch.nn`. */
  nn,
  /** Optimizers and learning-rate schedules. PyTorch: `torch.optim`. */
  optim,
  /** Texts as training data. PyTorch: `torch.utils.data`. */
  data,
  /** Tensors and checkpoints in files. PyTorch: `torch.save` and `torch.load`. */
  io,
  /** Tools of training scripts: options, metrics, progress, sampling. */
  train,
};
