export { loadCheckpoint, saveCheckpoint, type CheckpointParts, type CheckpointProgress } from './checkpoint.ts';
export { loadTensors, saveTensors, type LoadedTensors, type LoadOptions, type NamedTensors } from './tensors.ts';
