import { join } from 'node:path';
import type { Figures, Sizes } from './gpuParts.ts';

/** PyTorch in another process (gpu.py), which measures what it is asked for. */
export interface Torch {
  /** The versions of PyTorch and CUDA, and the device. */
  readonly about: object;
  readonly parts: readonly string[];
  /** @throws Error if PyTorch fails, or takes longer than the limit in milliseconds and is ended */
  measure(part: string, sizes: Sizes, limit: number): Promise<Figures>;
  stop(): void;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

/** The milliseconds that the start may take: the first import reads gigabytes. */
const START = 60_000;

/**
 * Starts PyTorch. Returns null if no Python on this machine can import torch. CASTOR_PYTHON names one.
 * @throws Error if it can, and gpu.py fails nevertheless
 */
export async function startTorch(): Promise<Torch | null> {
  const candidates = [process.env.CASTOR_PYTHON, 'python3', '/usr/bin/python3'].map(name => name && Bun.which(name));
  const python = candidates.find(
    each => each && Bun.spawnSync([each, '-c', 'import torch'], { timeout: START }).exitCode === 0,
  );
  if (!python) return null;
  const child = Bun.spawn([python, join(import.meta.dirname, 'gpu.py')], { stdin: 'pipe', stdout: 'pipe' });
  const lines = linesOf(child.stdout);
  const answer = async (limit: number): Promise<any> => {
    const timer = setTimeout(() => child.kill('SIGKILL'), limit);
    const { value, done } = await lines.next();
    clearTimeout(timer);
    if (done) throw new Error(`PyTorch's process ended with code ${await child.exited}, or took ${limit / 1000} s`);
    return JSON.parse(value);
  };
  const { parts, ...about } = await answer(START);
  return {
    about,
    parts,
    async measure(part, sizes, limit) {
      child.stdin.write(`${JSON.stringify({ part, sizes })}\n`);
      child.stdin.flush();
      const { figures, error } = await answer(limit);
      if (error) throw new Error(`PyTorch: ${error}`);
      return figures;
    },
    stop: () => void child.stdin.end(),
  };
}
