/** Figures: Castor's own first, since they need nothing else, then beside PyTorch, then of training steps. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { options, remaining } from './options.ts';
import { bun, lastLines, note, noteEnd, skip, type Part, type Shell } from './part.ts';
import type { Outcome } from './report.ts';

interface Figures {
  torch: { torch: string } | null;
  castor: Record<string, number>;
  verdicts: { promise: string; value: number | null; kept: boolean | null }[];
  failures: string[];
}

const SMALL = 'copy,add,softmax,layerNorm,unscale,adamw,matmul,launch';

/** Runs benchmarks/gpu.ts, which writes its figures as they come, into a file beside the report. */
async function measure(
  shell: Shell,
  outcome: Outcome,
  file: string,
  seconds: number,
  ...args: string[]
): Promise<void> {
  const out = join(options.out, file);
  rmSync(out, { force: true });
  // The program needs some more time to finish the part that it is in.
  const limit = Math.max(5, Math.min(seconds, remaining()) - 15);
  const size = options.tiny ? ['--tiny'] : [];
  const command = [bun, 'benchmarks/gpu.ts', '--limit', limit.toFixed(0), '--out', out, ...args, ...size];
  const ended = await shell(file, command, { limit: seconds });
  noteEnd(outcome, file, ended, 3);
  try {
    const figures = JSON.parse(readFileSync(out, 'utf8')) as Figures;
    outcome.details.figures = figures;
    outcome.passed = Object.keys(figures.castor).length;
    outcome.notes.push(...figures.failures);
    const known = figures.verdicts.filter(({ kept }) => kept !== null);
    const word = (kept: boolean | null): string => (options.tiny ? 'too small to say' : kept ? 'kept' : 'NOT KEPT');
    outcome.shown = known.map(({ promise, value, kept }) => `${promise}: ${value!.toPrecision(3)}, ${word(kept)}`);
    if (!args.includes('--no-torch') && figures.torch === null) skip(outcome, 'no python3 that can import torch');
  } catch (error) {
    note(outcome, `${file}: ${(error as Error).message}`, lastLines(ended.text, 60));
  }
}

const part = (file: string, limit: number, ...args: string[]): Part => ({
  limit,
  run: (shell, outcome) => measure(shell, outcome, file, options.short ? 35 : limit * options.slow, ...args),
});

export const own = part('figures.json', 60, '--no-torch', '--only', `${SMALL},start`);
export const beside = part('pytorch.json', 110, '--only', SMALL);
export const gpt = part('gpt.json', 110, '--only', 'gpt.bf16,gpt.graph,gpt.f32');
