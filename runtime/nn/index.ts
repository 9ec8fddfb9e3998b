import * as init from './init.ts';

export { Module } from './module.ts';
export { Buffer, Parameter, type BufferOptions, type ParameterOptions } from './parameter.ts';
export type { ModuleDestination, ModulePlacement } from './convert.ts';
export type { SharedState } from './shared.ts';
export type { TensorState } from './state.ts';
export * from './activations.ts';
export * from './layers.ts';
export * from './losses.ts';
export { clipGradNorm, clipGradValue, type ClipNormOptions, type ClipOptions } from './clip.ts';
export {
  /** Ways to initialise parameters. PyTorch: `torch.nn.init`. */
  init,
};
export { F as functional } from '../ops/functional.ts';
