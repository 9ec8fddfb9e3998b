export { Optimizer, type Description, type Named, type NameOf, type ParamGroup, type Params } from './optimizer.ts';
export type { SettingKind } from './settings.ts';
export type { OptimizerState, StateTensor } from './state.ts';
export { Adam, AdamW, SGD, type AdamOptions } from './optimizers.ts';
export { cosineWithWarmup } from './schedule.ts';
