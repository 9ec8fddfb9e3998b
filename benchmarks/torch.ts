import { join } from 'node:path';

/** PyTorch in another process (gpu.py or cpu.py), which measures what it is asked for. */
export interface Torch {
  /** The version of PyTorch, and what it runs on. */
  readonly about: Readonly<Record<string, unknown>>;
  readonly parts: readonly string[];
  /**
   * Asks for figures of a part.
   * @param how what the part wants to know besides the sizes
   * @throws Error if PyTorch fails, or takes longer than the limit in milliseconds and is ended
   */
  measure(part: string, sizes: object, limit: number, how?: object): Promise<Record<string, number>>;
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
 * Starts a Python program of this folder. Returns null if no Python on this machine can import torch. CASTOR_PYTHON
 * names one.
 * @param variables more environment variables
 * @throws Error if it can, and the program fails nevertheless
 */
export async function startTorch(program: string, variables: Record<string, string> = {}): Promise<Torch | null> {
  const candidates = [process.env.CASTOR_PYTHON, 'python3', '/usr/bin/python3'].map(name => name && Bun.which(name));
  const python = candidates.find(
    each => each && Bun.spawnSync([each, '-c', 'import torch'], { timeout: START }).exitCode === 0,
  );
  if (!python) return null;
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...variables };
  const child = Bun.spawn([python, join(import.meta.dirname, program)], { env, stdin: 'pipe', stdout: 'pipe' });
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
    async measure(part, sizes, limit, how = {}) {
      child.stdin.write(`${JSON.stringify({ part, sizes, how })}\n`);
      child.stdin.flush();
      const { figures, error } = await answer(limit);
      if (error) throw new Error(`PyTorch: ${error}`);
      return figures;
    },
    stop: () => void child.stdin.end(),
  };
}
