export { Optimizer, type Named, type ParamGroup, type Params } from './optimizer.ts';
export type { OptimizerState } from './state.ts';
export { Adam, AdamW, SGD, type AdamOptions } from './optimizers.ts';
export { cosineWithWarmup } from './schedule.ts';
