import { expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io, manualSeed, noGrad, zeros } from 'castor';
import { Classifier, spirals } from './model.ts';
import { serve } from './server.ts';
import { train } from './train.ts';

manualSeed(0);
const model = new Classifier();

test('training tells the arms apart', async () => {
  expect(await train(model, 300)).toBeGreaterThan(0.9);
}, 60_000);

test('weights come back from a file as they were', async () => {
  const path = join(tmpdir(), `test-${process.pid}.safetensors`);
  await io.saveTensors(path, model.stateDict());
  const copy = new Classifier();
  copy.loadStateDict((await io.loadTensors(path)).tensors);
  rmSync(path);
  const [points] = spirals(10);
  const logitsOf = (each: Classifier): Promise<unknown> => noGrad(() => each.forward(points)).toArray();
  expect(await logitsOf(copy)).toEqual(await logitsOf(model));
});

test('the model has two logits for each point', () => {
  expect(model.forward(zeros([3, 2])).shape).toEqual([3, 2]);
});

test('the server answers many at once as it answers one, and refuses what is no point', async () => {
  const { server, stop } = serve(model, 0);
  const ask = (body: string): Promise<Response> => fetch(new URL('/classify', server.url), { method: 'POST', body });
  const armOf = async (): Promise<number> => ((await (await ask('[0.3, -0.2]')).json()) as { arm: number }).arm;
  const lone = await armOf();
  expect(await Promise.all(Array.from({ length: 20 }, armOf))).toEqual(Array<number>(20).fill(lone));
  for (const body of ['', '[1]', '[1, "2"]', '{}', '[1, null]']) expect((await ask(body)).status).toBe(400);
  expect((await fetch(new URL('/health', server.url))).status).toBe(200);
  await stop();
});
