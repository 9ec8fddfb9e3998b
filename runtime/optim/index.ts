export { Optimizer, type Named, type OptimizerState, type ParamGroup, type Params } from './optimizer.ts';
export { Adam, AdamW, SGD, type AdamOptions } from './optimizers.ts';
export { cosineWithWarmup } from './schedule.ts';
