/** What servers are made of. The package exports it as castor/serve. */
export { batcher, Batcher, type Answer, type CloseOptions, type WarmUpOptions } from './batcher.ts';
export type { BatchInfo } from './batch.ts';
export type { BatcherStats, Outcome } from './batcherStats.ts';
export type { BucketBy } from './bucket.ts';
export type { Batch } from './collate.ts';
export { health, type DeviceHealth, type Health } from './health.ts';
export { metrics } from './metrics.ts';
export type { Precision } from './modes.ts';
export type { LastError } from './registry.ts';
export type { Input, Item } from './row.ts';
export type { BatcherOptions, RequestOptions } from './settings.ts';
export { ClosedError, OverloadedError, TimeoutError } from '../errors.ts';
