import { dirname } from 'node:path';
import { ffi } from '#ffi';
import { current } from '../context.ts';
import { OutOfMemoryError, type ErrorContext } from '../errors.ts';
import { OUT_OF_MEMORY, raise } from '../ffi/check.ts';
import { native, shared } from '../ffi/library.ts';
import { deviceName } from './device.ts';
import { currentCapture } from './graphCapture.ts';
import { lateFrees } from './lateFrees.ts';

/** A block of device memory. Tensors that are views of each other share one. */
export class Storage {
  /** The handle of the block in the native library; 0 once the block was freed. */
  handle: number;
  readonly bytes: number;
  readonly device: number;
  /** Raised by every in-place write, so that backward can tell that what it saved has changed. */
  version = 0;
  /** The number of graph nodes and gradient buffers that refer to it. */
  refCount = 0;
  /** Can no user code reach it any more? Then it is freed when refCount becomes 0. */
  unreachable = false;
  /** Was it given to keep()? Then no scope frees it. */
  kept = false;
  /** Was it made in inference mode? Then backward cannot read it, and it is written to in inference mode only. */
  inference = false;
  /** The position in the table of the safety net; -1 while a scope owns it. */
  slot = -1;

  constructor(handle: number, bytes: number, device: number) {
    this.handle = handle;
    this.bytes = bytes;
    this.device = device;
  }

  hold(): void {
    this.refCount++;
  }

  release(): void {
    if (--this.refCount === 0) this.freeUnreachable();
  }

  freeUnreachable(): void {
    if (this.unreachable && this.refCount === 0) this.free();
  }

  /** Frees the memory for the user. Memory that a graph still needs stays until that graph is released. */
  dispose(): void {
    this.unreachable = true;
    this.freeUnreachable();
  }

  free(): void {
    if (this.handle === 0) return;
    forget(this);
    native.castor_free(this.handle);
    this.handle = 0;
  }
}

/** The part of a tidy scope that is needed to own storages. */
export interface OwningScope {
  readonly parent: OwningScope | null;
  /** Has it ended? */
  readonly ended: boolean;
  /** Takes over a storage, which it frees when it ends. */
  own(storage: Storage): void;
}

let leakMode = false;
/**
 * Switches leak mode on or off. It records where each tensor is made and disposed, so that memory.live() and errors can say so. It is
 * slow.
 */
export function setLeakMode(on: boolean): void {
  leakMode = on;
}
const here = dirname(import.meta.dirname);
/** Returns the stack frames of the caller's own code, without Castor's. */
const stackHere = (): string =>
  (new Error().stack ?? '')
    .split('\n')
    .filter(line => line.includes(' at ') && !line.includes(here))
    .slice(0, 6)
    .join('\n');

const made = new WeakMap<Storage, string>();
const ended = new WeakMap<Storage, string>();
/** Returns where a storage was made, and disposed; null unless leak mode was on. */
export const madeWhere = (storage: Storage): string | null => made.get(storage) ?? null;
export const disposedWhere = (storage: Storage): string | null => ended.get(storage) ?? null;
export function noteDisposed(storage: Storage): void {
  if (leakMode) ended.set(storage, stackHere());
}

/** Allocates memory with undefined contents. The current scope owns it, or else the safety net. */
export function allocate(bytes: number, device: number): Storage {
  let handle = native.castor_alloc(device, bytes);
  if (handle === 0) handle = allocateAfterReclaim(bytes, device);
  return storageOf(handle, bytes, device);
}

/** Makes the object of a storage that a native call has allocated. The current scope owns it, or else the safety net. */
export function storageOf(handle: number, bytes: number, device: number): Storage {
  const storage = new Storage(handle, bytes, device);
  if (leakMode) made.set(storage, stackHere());
  currentCapture()?.made.add(storage);
  const mode = current();
  if (mode.inference) storage.inference = true;
  own(storage, mode.scope as OwningScope | null);
  return storage;
}

/** Gives a storage an owner: the innermost of these scopes that has not ended, or else the safety net. */
export function own(storage: Storage, scope: OwningScope | null): void {
  while (scope !== null && scope.ended) scope = scope.parent;
  if (scope === null) track(storage);
  else scope.own(storage);
}

function allocateAfterReclaim(bytes: number, device: number): number {
  const status = native.castor_last_status();
  if (status !== OUT_OF_MEMORY && bytes < Number.MAX_SAFE_INTEGER) raise(status, { op: 'allocate' });
  reclaim(true);
  native.castor_memory_release_cached(device);
  const handle = native.castor_alloc(device, bytes);
  if (handle !== 0) return handle;
  throw outOfMemory(device, { op: 'allocate' });
}

/** Returns the error for an allocation that has failed. */
export function outOfMemory(device: number, context: ErrorContext): OutOfMemoryError {
  const text = native.castor_last_error().replace(/^\w+: /, '');
  const { liveBytes, freeBytes } = memoryOf(device);
  const advice = 'Use smaller batches, or wrap the step in tidy() so that unused tensors are freed';
  return new OutOfMemoryError(text, { ...context, advice }, { wanted: stats[8]!, live: liveBytes, free: freeBytes });
}

/** Is it an out-of-memory error, so that the call may be tried once more? Then all memory that nothing refers to has been freed. */
export function freedFor(error: unknown): boolean {
  if (!(error instanceof OutOfMemoryError)) return false;
  reclaim(true);
  return true;
}

// ---- the safety net: a table of weak references, swept synchronously ------------------------------------------------
// A FinalizationRegistry runs no callback inside synchronous code, so a loop of a million ops would never be freed.

/** Instances of Castor in one thread share the table, so that each frees what another one left behind when it was evaluated again. */
const { slots, handles, bytes: slotBytes, scoped: slotScoped, free: freeSlots } = shared.net;

/** The storages and bytes entered since the last sweep, and those that survived the last full garbage collection. */
let newStorages = 0;
let newBytes = 0;
let liveStorages = 0;
let liveBytes = 0;
let liveAfterFull = 0;
let bytesAfterFull = 0;
/** The same for the bytes of async scopes alone. */
let newScopedBytes = 0;
let scopedBytes = 0;
let scopedAfterFull = 0;

const MIN_STORAGES = 32768;
const MIN_BYTES = 64 * 2 ** 20;
/**
 * Async scopes of many requests live at the same time, and what they have no more use for is most of their memory. A sweep takes a
 * fraction of the time in which so much is computed.
 */
const MIN_SCOPED_BYTES = 16 * 2 ** 20;
let storageThreshold = MIN_STORAGES;
let byteThreshold = MIN_BYTES;
let scopedThreshold = MIN_SCOPED_BYTES;

/** Enters a storage into the table: it is freed when nothing in JavaScript refers to it. */
export function track(storage: Storage): void {
  if (storage.slot < 0) enter(storage);
  else slotScoped[storage.slot] = false;
}

/** Enters a storage that an async scope will free if it lives until then. Returns the reference in the table. */
export function trackScoped(storage: Storage): WeakRef<Storage> {
  newScopedBytes += storage.bytes;
  if (storage.slot < 0) enter(storage);
  slotScoped[storage.slot] = true;
  return slots[storage.slot] as WeakRef<Storage>;
}

/** Frees storages of async scopes that nothing refers to, if enough were entered since the last time. */
export function reclaimScoped(): void {
  if (newScopedBytes >= scopedThreshold) reclaim(false);
}

/** Returns the reference to a storage in the table, or undefined. */
export const referenceTo = (storage: Storage): WeakRef<Storage> | null | undefined =>
  slots[storage.slot] as WeakRef<Storage> | null | undefined;

/**
 * Frees the storages of these references, at these positions of the table, that the engine has found dead by itself and no sweep has
 * freed yet.
 */
export function freeDead(references: readonly WeakRef<Storage>[], positions: readonly number[]): void {
  for (let i = 0; i < references.length; i++)
    if (slots[positions[i]!] === references[i] && references[i]!.deref() === undefined) freeSlot(positions[i]!);
}
function freeSlot(slot: number): void {
  slots[slot] = null;
  freeSlots.push(slot);
  native.castor_free(handles[slot]!);
}

function enter(storage: Storage): void {
  newStorages++;
  newBytes += storage.bytes;
  if (newStorages >= storageThreshold || newBytes >= byteThreshold) reclaim(false);
  const slot = freeSlots.length > 0 ? freeSlots.pop()! : slots.length;
  storage.slot = slot;
  slots[slot] = new WeakRef(storage);
  handles[slot] = storage.handle;
  slotBytes[slot] = storage.bytes;
  slotScoped[slot] = false;
  late?.watch(storage, slot);
}

function forget(storage: Storage): void {
  if (storage.slot < 0) return;
  late?.unwatch(storage);
  slots[storage.slot] = null;
  freeSlots.push(storage.slot);
  storage.slot = -1;
}

/**
 * Frees now the memory of every tensor that nothing refers to any more. It runs by itself when many tensors or bytes were made since the
 * last time, and when an allocation fails. The garbage collection before it is a young one, or a full one if the survivors have doubled.
 */
export function reclaim(full: boolean): void {
  late?.note(newBytes);
  newStorages = newBytes = newScopedBytes = 0;
  if (!ffi.collect) return;
  ffi.collect(full);
  sweep();
  const grown =
    liveStorages > 2 * liveAfterFull + MIN_STORAGES ||
    liveBytes > 2 * bytesAfterFull + MIN_BYTES ||
    scopedBytes > scopedAfterFull + Math.max(MIN_SCOPED_BYTES, scopedAfterFull / 2);
  if (grown && !full) {
    ffi.collect(true);
    sweep();
  }
  if (grown || full) {
    liveAfterFull = liveStorages;
    bytesAfterFull = liveBytes;
    scopedAfterFull = scopedBytes;
  }
  storageThreshold = Math.max(MIN_STORAGES, liveStorages);
  byteThreshold = Math.max(MIN_BYTES, liveBytes);
  scopedThreshold = Math.max(MIN_SCOPED_BYTES, scopedBytes);
}

function sweep(): void {
  liveStorages = liveBytes = scopedBytes = 0;
  let count = 0;
  for (let slot = 0; slot < slots.length; slot++) {
    const reference = slots[slot];
    if (!reference) continue;
    if (reference.deref() !== undefined) {
      liveStorages++;
      liveBytes += slotBytes[slot]!;
      if (slotScoped[slot]) scopedBytes += slotBytes[slot]!;
      continue;
    }
    slots[slot] = null;
    freeSlots.push(slot);
    swept[count++] = handles[slot]!;
    if (count === swept.length) count = flush(swept, count);
  }
  flush(swept, count);
}

const late = lateFrees(freeSlot);

/** The handles of storages that are freed by one native call. A sweep may begin while others are collected, so it has a list of its own. */
const freed = new Float64Array(new ArrayBuffer(8 * 4096));
const swept = new Float64Array(new ArrayBuffer(8 * 4096));
function flush(batch: Float64Array, count: number): 0 {
  if (count > 0) native.castor_free_many(batch, count);
  return 0;
}

/** Frees many storages with few native calls, except those for which `survives` returns true. */
export function freeMany(storages: readonly Storage[], survives: (storage: Storage) => boolean): void {
  let count = 0;
  for (const storage of storages) {
    if (storage.handle === 0 || survives(storage)) continue;
    forget(storage);
    freed[count++] = storage.handle;
    storage.handle = 0;
    if (count === freed.length) count = flush(freed, count);
  }
  flush(freed, count);
}

/** Returns the storages in the safety net that are still referred to. */
export function* liveStoragesInTable(): Generator<Storage> {
  for (const reference of slots) {
    const storage = reference?.deref() as Storage | undefined;
    if (storage) yield storage;
  }
}

export interface MemoryStats {
  device: string;
  liveBytes: number;
  liveStorages: number;
  peakBytes: number;
  cachedBytes: number;
  allocations: number;
  limitBytes: number;
  totalBytes: number;
  freeBytes: number;
  /** The bytes that captured graphs keep for their replays, besides the tensors that are live. */
  graphBytes: number;
  /** The number of reads of tensors by the host since the start. Each read can make the host wait. */
  hostReads: number;
}

/** The number of reads by the host, by device. */
const hostReads = new Map<number, number>();
export const noteHostRead = (device: number): void => void hostReads.set(device, (hostReads.get(device) ?? 0) + 1);

const stats = new Float64Array(new ArrayBuffer(8 * 10));
export function memoryOf(device: number): MemoryStats {
  const status = native.castor_memory(device, stats);
  if (status !== 0) raise(status, { op: 'memory' });
  const [
    liveBytes,
    liveStorages,
    peakBytes,
    cachedBytes,
    allocations,
    limitBytes,
    totalBytes,
    freeBytes,
    ,
    graphBytes,
  ] = stats as unknown as number[];
  return {
    device: deviceName(device),
    liveBytes: liveBytes!,
    liveStorages: liveStorages!,
    peakBytes: peakBytes!,
    cachedBytes: cachedBytes!,
    allocations: allocations!,
    limitBytes: limitBytes!,
    totalBytes: totalBytes!,
    freeBytes: freeBytes!,
    graphBytes: graphBytes!,
    hostReads: hostReads.get(device) ?? 0,
  };
}
