/** Errors and ended threads that must leave the GPU usable for others. They are tested on the emulator, each in a process of its own. */
import { describe, expect, test } from 'bun:test';
import { autograd, F, full, tidy, type Tensor } from 'castor';
import { printed } from './process.ts';
import { onEmulator } from './setup.ts';

const it = (name: string, program: string, settings: Record<string, string>, wanted: readonly string[]): void =>
  test.skipIf(!onEmulator)(name, async () => expect(await printed(program, settings)).toEqual([...wanted]));
const lazy = { CASTOR_EMULATOR_STREAMS: 'lazy' };
const two = { ...lazy, CASTOR_EMULATOR_DEVICES: '2' };
const castor = JSON.stringify(import.meta.resolve('castor'));

/** Lines that run Workers one after the other, and wait until each has ended and what it left behind is freed. */
const workers = (body: string): string => `
  const url = URL.createObjectURL(new Blob([${JSON.stringify(`const c = await import(${castor}); ${body}`)}], { type: 'application/javascript' }));
  const inWorker = async () => {
    const worker = new Worker(url);
    const said = await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = error => reject(new Error(error.message));
    });
    worker.terminate();
    await new Promise(resolve => worker.addEventListener('close', resolve));
    for (let i = 0; i < 500 && c.memory.stats('cuda').liveStorages > 0; i++) await Bun.sleep(10);
    return said;
  };`;

describe('a launch', () => {
  // The kernel for rows of any length has smaller blocks than that for rows that fit into registers.
  test.skipIf(!onEmulator)('of the gradients of long rows of 16 bits has no more threads than the kernel allows', () =>
    tidy(() => {
      const gradient = (dtype: 'float16' | 'float32', norm: (x: Tensor) => Tensor): number[] => {
        const x = full([2, 8200], 2, { dtype, device: 'cuda' });
        x.set_([0, '::2'], 1);
        const leaf = x.requiresGrad_();
        return autograd.grad(norm(leaf).mul(leaf).sum(), [leaf])[0]!.to('float32').sum(1).toArraySync() as number[];
      };
      for (const norm of [(x: Tensor) => F.layerNorm(x, [8200]), (x: Tensor) => F.rmsNorm(x, [8200])])
        expect(gradient('float16', norm)).toBeAllclose(gradient('float32', norm), { rtol: 0.02, atol: 8 });
    }),
  );
  // Two results for each byte: the memory of the result is never touched, because the error comes first.
  test.skipIf(!onEmulator)('that would need to count more than 31 bits is refused, with advice', async () => {
    const lines = await printed(
      `const many = c.ones([1], { dtype: 'bool', device: 'cuda' }).expand(2 ** 31, 3);
       print(failure(() => many.any(1)));`,
      { CASTOR_EMULATOR_MEMORY: String(2 ** 34) },
    );
    expect(lines[0]).toStartWith('ShapeError: any: the kernels of a GPU count up to 2147483647 rows');
    expect(lines[0]).toContain('2147483648. Split the tensor along an axis with narrow()');
  });
});

describe('a capture', () => {
  // The first result is freed, and the second needs more than is left. Its memory must not be returned to make room, because the graph
  // would write to it.
  it(
    'that runs out of memory fails, and keeps what its kernels refer to',
    `const x = c.ones([3 << 20], { device: 'cuda' });
     print(failure(() => c.graph.capture(() => { x.add(1).dispose(); return c.zeros([7 << 20], { device: 'cuda' }); })).split(':')[0]);
     const step = c.graph.capture(() => x.add(1));
     step.replay();
     print(step.result.sum().itemSync());`,
    { CASTOR_EMULATOR_MEMORY: String(48 * 2 ** 20) },
    ['OutOfMemoryError', String(2 * (3 << 20))],
  );
});

describe('a driver that breaks', () => {
  test.skipIf(!onEmulator)('at any call of the set-up, or after it, ends in a typed error', async () => {
    const program = `print(failure(() => c.ones([2], { device: 'cuda' })), '|', failure(() => c.ones([2], { device: 'cuda' })));`;
    const calls = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    for (const call of calls) {
      const [line] = await printed(program, { CASTOR_EMULATOR_BROKEN: String(call) });
      expect(line, `from call ${call} on`).toMatch(/^Device\w*Error: .*unknown error.* \| Device\w*Error: /);
    }
  });
});

describe('with two GPUs', () => {
  // Launches 1 to 4 prepare both devices, and the fifth fails. The thread is at work on the other device when it learns of it.
  it(
    'the one that failed is blamed, and the other one works on',
    `const [a, b] = ['cuda:0', 'cuda:1'].map(device => c.full([3], 2, { device }));
     const read = b.data();
     b.add(1);
     print(a.add(1).toArraySync());
     print(await read.then(() => 'read', error => error.message.replace(/;.*/, '')));
     print(a.add(2).toArraySync());`,
    { ...two, CASTOR_EMULATOR_FAULT: '5' },
    ['3,3,3', 'data: device cuda:1 is lost: an illegal memory access was encountered, seen by read', '4,4,4'],
  );
  // The emulator refuses calls of a thread that has chosen no device, and copies through the host where they can be avoided.
  for (const peers of ['0', '1'])
    it(
      `threads that wait use only the device that they wait for, and copies are direct where that is possible (${peers})`,
      `const b = c.arange(1000, { device: 'cuda:1' });
       print((await b.data())[999], (await b.sum().item()));
       const there = b.to('cuda:0').add(1).to('cuda:1');
       print((await there.sum().item()), there.device);`,
      { ...two, CASTOR_EMULATOR_PEERS: peers },
      ['999 499500', '500500 cuda:1'],
    );
});

describe('a Worker that is terminated', () => {
  it(
    'after it has captured a graph gives its stream back',
    `${workers(`globalThis.step = c.graph.capture(() => c.randn([100])); step.replay(); postMessage('captured');`)}
     for (let i = 0; i < 5; i++) await inWorker();
     print(c.ones([3], { device: 'cuda' }).sum().itemSync(), c.deviceInfo('cuda').streams <= 2);`,
    {},
    ['3 true'],
  );
  it(
    'in the middle of a capture leaves nothing behind',
    `${workers(`c.graph.capture(() => { postMessage('capturing'); for (;;) c.randn([10]).dispose(); });`)}
     for (let i = 0; i < 4; i++) await inWorker();
     const step = c.graph.capture(() => c.ones([3], { device: 'cuda' }).mul(2));
     step.replay();
     print(step.result.sum().itemSync(), c.deviceInfo('cuda').streams <= 2);`,
    {},
    ['6 true'],
  );
  // The first one ends with a wrong index that nobody has waited for. The next one gets its stream.
  for (const CASTOR_EMULATOR_STREAMS of ['eager', 'lazy'])
    it(
      `takes the errors of its kernels along (${CASTOR_EMULATOR_STREAMS} streams)`,
      `${workers(`
         let said = 'none';
         try { c.ones([3], { device: 'cuda' }).sum().itemSync(); } catch (error) { said = error.message; }
         c.F.embedding(c.full([1], 7, { dtype: 'int64', device: 'cuda' }), c.ones([4, 1], { device: 'cuda' }));
         postMessage(said);`)}
       for (let i = 0; i < 3; i++) print(await inWorker());`,
      { CASTOR_EMULATOR_STREAMS },
      ['none', 'none', 'none'],
    );
});

describe('an error that kernels report', () => {
  it(
    'stands for the work so far, and the next one is reported again',
    `const table = c.ones([4, 2], { device: 'cuda' });
     const look = i => c.F.embedding(c.full([1000], i, { dtype: 'int64', device: 'cuda' }), table).sum().itemSync();
     print([failure(() => look(9)), look(1), failure(() => look(-6))].map(text => String(text).replace(/.*met/, 'met').replace(/[.].*/, '')).join('; '));`,
    lazy,
    ['met index 9 on an axis of size 4; 2000; met index -6 on an axis of size 4'],
  );
});

describe('a read that must wait', () => {
  it(
    'asks a few times before the thread goes to sleep',
    `print(c.ones([10], { device: 'cuda' }).add(1).sum().itemSync());`,
    { ...lazy, CASTOR_EMULATOR_SLEEPLESS: '1' },
    ['20'],
  );
});
