export { drawCurve } from './curve.ts';
export { meanLoss } from './evaluate.ts';
export { clock, deviceLine, shortBytes, shortCount } from './format.ts';
export { generateText, type GenerateOptions } from './generate.ts';
export { MetricsLog, readRows, type Metrics } from './metrics.ts';
export { Monitor, type MonitorOptions } from './monitor.ts';
export {
  choice,
  flag,
  helpText,
  parseOptions,
  real,
  text,
  whole,
  type Option,
  type OptionTable,
  type OptionValues,
} from './options.ts';
export { interruption, program } from './program.ts';
export { Progress, type ProgressStream } from './progress.ts';
export { lossSvg } from './svg.ts';
