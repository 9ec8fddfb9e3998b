/** `npm run bench -- serve` with small sizes, which prove that it works and say nothing of speed. */
import { expect, test } from 'bun:test';
import { run } from '../process.ts';

test('the benchmark of serving measures all that it should', async () => {
  const { exitCode, stdout } = await run('benchmarks/run.ts', [
    '--tiny',
    '--no-torch',
    '--json',
    '--rounds',
    '1',
    'serve',
  ]);
  expect(exitCode).toBe(0);
  const figures = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { name: string; value: number });
  const names = figures.map(({ name }) => name);
  for (const name of [
    ...[1, 8, 64, 256].map(rows => `serve.forward.${rows}.us`),
    ...['serve.mlp.rps', 'serve.mlp.p50.ms', 'serve.mlp.p99.ms', 'serve.health.p99.ms', 'serve.health.busy.p99.ms'],
    ...['serve.resident.mb', 'serve.resident.growth', 'serve.capture.mlp.1.over', 'serve.capture.gpt.2.over'],
  ])
    expect(names).toContain(name);
  for (const { name, value } of figures) expect([name, value > 0 && Number.isFinite(value)]).toEqual([name, true]);
});
