import { join } from 'node:path';
import type { Figures, Sizes } from './gpuParts.ts';

/** PyTorch in a process of its own (gpu.py), which measures what it is asked for. */
export interface Torch {
  /** Its versions, and its device. */
  readonly about: object;
  readonly parts: readonly string[];
  /** @throws Error when PyTorch fails */
  measure(part: string, sizes: Sizes): Promise<Figures>;
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

/** null when no Python here can import torch. CASTOR_PYTHON names one. */
export async function startTorch(): Promise<Torch | null> {
  const candidates = [process.env.CASTOR_PYTHON, 'python3', '/usr/bin/python3'].map(name => name && Bun.which(name));
  const python = candidates.find(each => each && Bun.spawnSync([each, '-c', 'import torch']).exitCode === 0);
  if (!python) return null;
  const child = Bun.spawn([python, join(import.meta.dirname, 'gpu.py')], { stdin: 'pipe', stdout: 'pipe' });
  const lines = linesOf(child.stdout);
  const answer = async (): Promise<any> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`PyTorch's process ended with code ${await child.exited}`);
    return JSON.parse(value);
  };
  const { parts, ...about } = await answer();
  return {
    about,
    parts,
    async measure(part, sizes) {
      child.stdin.write(`${JSON.stringify({ part, sizes })}\n`);
      child.stdin.flush();
      const { figures, error } = await answer();
      if (error) throw new Error(`PyTorch: ${error}`);
      return figures;
    },
    stop: () => void child.stdin.end(),
  };
}
