import { checked } from '../arguments.ts';
import { deviceName, isAvailable, type Device } from '../tensor/device.ts';
import { memory } from '../tensor/memory.ts';
import { registered, type Family, type Sample, type SampledHistogram } from './registry.ts';

/** The devices of this process. */
export const devicesHere = (): readonly Device[] => (isAvailable('cuda') ? ['cpu', deviceName(1)] : ['cpu']);

/**
 * The bytes of memory that the process has, or null where the system does not tell. An emulator of another processor, such as qemu-user, tells
 * 0, which is true of no process.
 */
export const residentBytes = (): number | null => process.memoryUsage.rss() || null;

const gauge = (name: string, help: string, samples: readonly Sample[]): Family => ({
  name,
  type: 'gauge',
  help,
  samples,
});

function memoryFamilies(): Family[] {
  const resident = residentBytes();
  const stats = devicesHere().map(device => memory.stats(device));
  const each = (field: 'liveBytes' | 'cachedBytes' | 'peakBytes' | 'liveStorages'): Sample[] =>
    stats.map(one => ({ labels: { device: one.device }, value: one[field] }));
  return [
    gauge('castor_memory_live_bytes', 'Bytes of tensors that are alive', each('liveBytes')),
    gauge('castor_memory_cached_bytes', 'Bytes of freed blocks that are kept for reuse', each('cachedBytes')),
    gauge('castor_memory_peak_bytes', 'The most bytes of tensors that were alive at once', each('peakBytes')),
    gauge('castor_memory_tensors', 'Blocks of memory of tensors that are alive', each('liveStorages')),
    gauge(
      'process_resident_memory_bytes',
      'Bytes of memory that the process has',
      resident === null ? [] : [{ labels: {}, value: resident }],
    ),
  ];
}

/** Puts the figures of all sources under their names, because Prometheus wants those of one name together. */
function merged(families: Iterable<Family>): Family[] {
  const byName = new Map<string, Family>();
  for (const family of families) {
    const found = byName.get(family.name);
    byName.set(family.name, found ? { ...found, samples: [...found.samples, ...family.samples] } : family);
  }
  return [...byName.values()];
}

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
function labelled(name: string, labels: Readonly<Record<string, string>>): string {
  const list = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`);
  return list.length === 0 ? name : `${name}{${list.join(',')}}`;
}

function linesOf(name: string, { labels, value }: Sample): string[] {
  return typeof value === 'number' ? [`${labelled(name, labels)} ${value}`] : histogramLines(name, labels, value);
}
function histogramLines(
  name: string,
  labels: Sample['labels'],
  { bounds, counts, count, sum }: SampledHistogram,
): string[] {
  let below = 0;
  const buckets = bounds.map((bound, i) => {
    below += counts[i]!;
    return `${labelled(`${name}_bucket`, { ...labels, le: String(bound) })} ${below}`;
  });
  return [
    ...buckets,
    `${labelled(`${name}_bucket`, { ...labels, le: '+Inf' })} ${count}`,
    `${labelled(`${name}_sum`, labels)} ${sum}`,
    `${labelled(`${name}_count`, labels)} ${count}`,
  ];
}

function* allFamilies(): Generator<Family> {
  for (const source of registered()) yield* source.families();
  yield* memoryFamilies();
}

/**
 * Returns the figures of all batchers, and of memory, in the text form that Prometheus reads (version 0.0.4): queue depth, sizes of batches,
 * times of waiting and running, requests by how they ended, live, cached and resident bytes.
 */
export const metrics = checked('metrics', {}, (): string =>
  merged(allFamilies())
    .filter(({ samples }) => samples.length > 0)
    .flatMap(({ name, help, type, samples }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.flatMap(sample => linesOf(name, sample)),
    ])
    .join('\n')
    .concat('\n'),
);
