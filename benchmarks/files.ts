import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io, nn, ones, optim, tidy } from '../runtime/index.ts';
import type { Figure } from './measure.ts';

/**
 * The milliseconds that this thread has used a processor or waited for one. Time taken by other programs does not
 * count.
 */
function own(): number {
  const [, waited] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ').map(Number);
  return performance.now() - waited! / 1e6;
}

/** The longest time between two turns of the event loop while some work is running. */
async function longestStall(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = own();
  const timer = setInterval(() => {
    const now = own();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  await work();
  clearInterval(timer);
  return longest;
}

/** A model of 128 MB with Adam's state, 384 MB in all, is saved, loaded, and copied into a model. */
export async function stalls(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'castor-bench-'));
  const path = join(folder, 'run.safetensors');
  const model = new nn.Linear(4096, 8192);
  const optimizer = new optim.Adam(model.parameters());
  tidy(() => {
    for (const p of model.parameters()) p.grad = ones(p.shape);
    optimizer.step();
    optimizer.zeroGrad();
  });
  const works: [string, () => Promise<unknown>][] = [
    ['file.save.stall.ms', () => io.saveCheckpoint(path, { model, optimizer, step: 1 })],
    ['file.load.stall.ms', () => tidy(() => io.loadTensors(path).then(() => null))],
    ['file.resume.stall.ms', () => io.loadCheckpoint(path, { model, optimizer })],
  ];
  const figures: Figure[] = [];
  for (const [name, work] of works) figures.push({ name, value: await longestStall(work), unit: 'ms', must: '<= 50' });
  rmSync(folder, { recursive: true });
  return figures;
}
