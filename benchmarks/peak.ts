import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, findCompiler, newest } from '../scripts/native.ts';
import { levelFacts, type Level } from './levels.ts';

const SAMPLES = 5;

/** Compiles peak.cpp for a level, if that has not been done. @throws Error if there is no compiler that can */
function compiled(level: Level): string {
  const source = join(import.meta.dirname, 'peak.cpp');
  const program = join(build, `peak-${level}`);
  if (newest(program) > newest(source)) return program;
  const compiler = findCompiler();
  if (!compiler) throw new Error('there is no C++ compiler');
  mkdirSync(build, { recursive: true });
  const command = [compiler, '-O2', '-std=c++17', '-pthread', ...levelFacts[level].flags, source, '-o', program];
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(' ')} failed:\n${stderr.toString().slice(-1000)}`);
  return program;
}

/** GFLOP/s of all threads together in registers. */
export interface Peak {
  /** FMA in float32 at the full width of vectors. */
  readonly f32: number;
  /** The instruction for bfloat16: vdpbf16ps, or tdpbf16ps where there are tiles. On other levels it is the FMA. */
  readonly bf16: number;
}

/** The best of several short measurements. @throws Error if the program cannot be compiled or fails */
export function peak(level: Level, threads: number): Peak {
  const program = compiled(level);
  const sample = (kind: string): number => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([program, kind, String(threads)]);
    if (exitCode !== 0) throw new Error(`peak ${kind}: ${stderr.toString().trim()}`);
    return Number(stdout.toString());
  };
  const best = (kind: string): number => Math.max(...Array.from({ length: SAMPLES }, () => sample(kind)));
  return { f32: best('f32'), bf16: best('bf16') };
}
