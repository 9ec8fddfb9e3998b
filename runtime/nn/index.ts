export { Buffer, Module, Parameter } from './module.ts';
export * from './layers.ts';
export * from './losses.ts';
export { clipGradNorm } from './clip.ts';
export * as init from './init.ts';
export { F as functional } from '../ops/functional.ts';
