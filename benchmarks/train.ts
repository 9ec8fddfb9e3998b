import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Figure } from './measure.ts';

/**
 * The held-out loss of train.ts after its default steps, in nats per byte, for each dtype, and the ratio of float16 to
 * float32.
 */
export function heldOut(): Figure[] {
  const losses = Object.entries({ f32: 'float32', f16: 'float16', bf16: 'bfloat16' }).map(([short, dtype]) => {
    const out = mkdtempSync(join(tmpdir(), 'castor-bench-'));
    try {
      const run = Bun.spawnSync([
        process.execPath,
        join(import.meta.dirname, '../train.ts'),
        '--dtype',
        dtype,
        '--out',
        out,
      ]);
      if (run.exitCode !== 0) throw new Error(`train.ts --dtype ${dtype} failed:\n${run.stderr.toString()}`);
      const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
      const held = lines.map(line => JSON.parse(line).heldOutLoss).filter(loss => typeof loss === 'number');
      return { name: `train.heldOut.${short}`, value: held.at(-1)!, unit: 'nats/byte', must: '<= 2.55' };
    } finally {
      rmSync(out, { recursive: true });
    }
  });
  const [wide, half] = losses as [Figure, Figure];
  return [
    ...losses,
    { name: 'train.heldOut.f16.ratio', value: half.value / wide.value, unit: 'ratio', must: '<= 1.01' },
  ];
}
