import { describe, expect, test } from 'bun:test';
import { printed } from './process.ts';
import { onEmulator } from './setup.ts';

describe.if(onEmulator)('without the pool of a GPU', () => {
  const alone = { CASTOR_CUDA_MEMORY_POOL: '0' };
  const program = `
    const free = () => c.memory.stats('cuda').freeBytes;
    const before = free();
    const x = c.ones([25], { device: 'cuda' });
    print(before - free());
    const y = x.add(1);
    print(before - free(), c.memory.stats('cuda').cachedBytes);
    x.dispose();
    print(before - free(), c.tidy(() => y.sum().itemSync()));
    y.dispose();
    print(before - free());`;

  test('each tensor has exactly its bytes, and returns them', async () => {
    expect(await printed(program, alone)).toEqual(['100', '200 0', '100 50', '0']);
  });
  test('a graph keeps its memory until it is disposed', async () => {
    const lines = await printed(
      `const x = c.arange(1000, { device: 'cuda', dtype: 'float32' });
      const step = c.graph.capture(() => c.tidy(() => x.mul(2).add(1).sum()));
      const answers = [0, 1, 2].map(() => step.replay().itemSync());
      const between = c.ones([1000], { device: 'cuda' });
      print(answers, step.replay().itemSync(), between.sum().itemSync());
      step.dispose();
      print(c.memory.stats('cuda').graphBytes);`,
      alone,
    );
    expect(lines).toEqual(['1000000,1000000,1000000 1000000 1000', '0']);
  });
  test('a setting that is neither is an error that says so', async () => {
    const [reason] = await printed(`print(c.deviceInfo('cuda').reason);`, { CASTOR_CUDA_MEMORY_POOL: 'off' });
    expect(reason).toContain("CASTOR_CUDA_MEMORY_POOL is 'off', not 0 or 1");
  });
});
