/** Captured graphs, which the package exports as `graph` and as castor/graph. */
export { capture, CapturedGraph, type CaptureOptions } from './capture.ts';
