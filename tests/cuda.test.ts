import { describe, expect, test } from 'bun:test';
import {
  DeviceError,
  deviceInfo,
  F,
  full,
  graph,
  IndexError,
  isAvailable,
  memory,
  nn,
  ones,
  rand,
  randn,
  synchronize,
  tensor,
  Tensor,
  tidy,
  zeros,
  type DType,
} from 'castor';
import { native } from '../runtime/ffi/library.ts';
import { printed } from './process.ts';
import { onEmulator } from './setup.ts';

// Tests of the GPU as a device rather than of ops. Faults, other drivers and second GPUs are tested on the emulator, in
// other processes.
const MB = 2 ** 20;
const cuda = isAvailable('cuda');
const it = (name: string, fn: () => void | Promise<void>): void => test.skipIf(!cuda)(name, () => tidy(fn));
const onEmulatorOnly = test.skipIf(!onEmulator);

describe('a GPU', () => {
  it('describes itself', () => {
    const info = deviceInfo('cuda');
    expect(info).toMatchObject({ available: true, streams: 1 });
    expect(info.name!.length).toBeGreaterThan(0);
    expect(info.architecture!).toBeGreaterThanOrEqual(80);
    expect(info.memory!).toBe(memory.stats('cuda').totalBytes);
    expect(info.multiprocessors!).toBeGreaterThan(0);
    expect([info.driver, info.runtime].every(version => /^\d+\.\d+$/.test(version!))).toBe(true);
    expect(deviceInfo('cuda:0')).toEqual(info);
  });
  test.skipIf(cuda)('that is not there says why', () => {
    const { available, reason } = deviceInfo('cuda');
    expect(available).toBe(false);
    expect(reason!.length).toBeGreaterThan(10);
    expect(() => ones([2], { device: 'cuda' })).toThrow(DeviceError);
  });

  const reasons: [string, Record<string, string>, RegExp][] = [
    [
      'no driver',
      { CASTOR_EMULATOR_DRIVER: '0' },
      /^no NVIDIA driver is installed.*needs one that knows CUDA 1\d\.\d: version \d{3} or newer$/,
    ],
    [
      'an old driver',
      { CASTOR_EMULATOR_DRIVER: '12020' },
      /too old: it knows CUDA 12\.2, this library needs 1\d\.\d\. Update the driver to version \d{3} or newer$/,
    ],
    ['no device', { CASTOR_EMULATOR_DEVICES: '0' }, /driver but no GPU.*nvidia-smi/],
    ['a hidden device', { CASTOR_EMULATOR_DEVICES: '0', CUDA_VISIBLE_DEVICES: '7' }, /CUDA_VISIBLE_DEVICES is '7'/],
    [
      'an old architecture',
      { CASTOR_EMULATOR_ARCHITECTURE: '75' },
      /no code for cuda:0 \(.*, sm_75\), only for sm_\d+.*npm run build:cuda/,
    ],
    [
      'all of its memory taken',
      { CASTOR_EMULATOR_OCCUPIED: String(8 * 1024 * MB) },
      /memory of cuda:0 .* is full: nothing is left to start with\. nvidia-smi/,
    ],
    ['a wrong setting', { CASTOR_CUDA_MEMORY_FRACTION: '5' }, /CASTOR_CUDA_MEMORY_FRACTION is '5', not a number/],
  ];
  for (const [name, settings, reason] of reasons)
    onEmulatorOnly(`is not available with ${name}, and the CPU is the default`, async () => {
      const program =
        'print(c.deviceInfo("cuda").reason); print(c.getDefaultDevice()); print(failure(() => c.ones([2], { device: "cuda" })));';
      const [text, device, error] = await printed(program, settings);
      expect(text!).toMatch(reason);
      expect(device).toBe('cpu');
      expect(error).toStartWith("DeviceError: ones: device 'cuda' is not available: ");
    });
  it('of a number too high says how many there are', () => {
    expect(deviceInfo('cuda:63').reason).toMatch(/^there (is|are) \d+ CUDA devices?, cuda:0/);
    expect(deviceInfo('cuda:9999').available).toBe(false);
  });
});

describe('memory of a GPU', () => {
  /**
   * The bytes that this process has taken for tensors, in use or not. What is free on the device says less: other
   * processes use it too, and so do the context and the code of kernels.
   */
  function taken(): number {
    const { cachedBytes, liveBytes, graphBytes } = memory.stats('cuda');
    return cachedBytes + liveBytes + graphBytes;
  }
  it('is cached: what was freed is used again', () => {
    memory.releaseCached('cuda');
    const before = memory.stats('cuda');
    for (const size of [1, 1000, MB, 3 * MB]) {
      zeros([size / 4 < 1 ? 1 : size / 4], { device: 'cuda' }).dispose();
      zeros([size / 4 < 1 ? 1 : size / 4], { device: 'cuda' }).dispose();
    }
    const after = memory.stats('cuda');
    // One segment of small blocks and one of large ones.
    expect(after.cachedBytes - before.cachedBytes).toBeLessThanOrEqual(22 * MB);
    expect(after.cachedBytes).toBeGreaterThanOrEqual(3 * MB);
    memory.releaseCached('cuda');
    expect(memory.stats('cuda').cachedBytes).toBe(before.cachedBytes);
  });
  it('of neighbours is merged again', () => {
    memory.releaseCached('cuda');
    const before = taken();
    const parts = Array.from({ length: 8 }, () => zeros([MB / 2], { device: 'cuda' }));
    for (const i of [0, 2, 4, 6, 1, 5, 3, 7]) parts[i]!.dispose();
    const whole = zeros([4 * MB], { device: 'cuda' });
    expect(taken() - before).toBeLessThanOrEqual(20 * MB);
    whole.dispose();
  });
  it('blocks do not overlap', () => {
    const sizes = [1, 127, 128, 129, 5000, 1, 300_000, 17];
    const tensors = sizes.map((n, i) => full([n], i, { device: 'cuda' }));
    tensors[2]!.dispose();
    tensors[4]!.dispose();
    const again = [full([100], 20, { device: 'cuda' }), full([4000], 21, { device: 'cuda' })];
    for (const [i, t] of tensors.entries()) if (!t.disposed) expect([...t.dataSync()].every(x => x === i)).toBe(true);
    for (const [i, t] of again.entries()) expect([...t.dataSync()].every(x => x === 20 + i)).toBe(true);
  });
  it('is limited to a fraction', () => {
    memory.releaseCached('cuda');
    memory.setFraction((taken() + 30 * MB) / memory.stats('cuda').totalBytes, 'cuda');
    try {
      const fits = zeros([2 * MB], { device: 'cuda' });
      expect(() => zeros([16 * MB], { device: 'cuda' })).toThrow(/OutOfMemory|wanted 64\.00 MiB/);
      expect(fits.add(1).sum().itemSync()).toBe(2 * MB);
    } finally {
      memory.setFraction(1, 'cuda');
    }
    zeros([16 * MB], { device: 'cuda' }).dispose();
    for (const wrong of [0, -1, 1.5, NaN])
      expect(() => memory.setFraction(wrong, 'cuda')).toThrow(/not a share of the memory\. Pass a number/);
  });
  onEmulatorOnly('is limited to a fraction of the whole, whatever others hold', async () => {
    const program = `
      c.memory.setFraction(30 * 2 ** 20 / c.memory.stats('cuda').totalBytes, 'cuda');
      print(failure(() => c.zeros([2 << 20])), failure(() => c.zeros([16 << 20])));`;
    const [line] = await printed(program, { CASTOR_EMULATOR_OCCUPIED: String(1024 * MB) });
    expect(line).toStartWith('nothing OutOfMemoryError: allocate: wanted 64.00 MiB');
  });
  onEmulatorOnly('that is full is an OutOfMemoryError, and nothing else is lost', async () => {
    const program = `
      const t = c.ones([1000]);
      const error = failure(() => c.zeros([1 << 26]));
      print(error.slice(0, 55));
      print(t.add(1).sum().itemSync());`;
    const lines = await printed(program, { CASTOR_EMULATOR_MEMORY: String(64 * MB) });
    expect(lines).toEqual(['OutOfMemoryError: allocate: wanted 256.00 MiB; 3.91 KiB', '2000']);
  });
  onEmulatorOnly('that others hold is named', async () => {
    const program = 'print(failure(() => c.ones([1 << 20])));';
    const settings = { CASTOR_EMULATOR_MEMORY: String(64 * MB), CASTOR_EMULATOR_OCCUPIED: String(63 * MB) };
    expect((await printed(program, settings))[0]).toMatch(/other processes hold 63\.00 MiB \(nvidia-smi lists them/);
  });
  onEmulatorOnly('for intermediate results is found among what nobody refers to any more', async () => {
    const program = `
      const x = c.rand([2, 1 << 20]);
      const use = () => { for (let i = 0; i < 2; i++) c.zeros([3 << 20]); };
      use();
      print(c.memory.stats().liveBytes > 30e6, x.sort(1).values.shape);
      const kept = Array.from({ length: 2 }, () => c.zeros([3 << 20]));
      try { x.sort(1); } catch (error) {
        print(error.name, error.op, error.wantedBytes === 2 ** 24, error.liveBytes === c.memory.stats().liveBytes, error.freeBytes < 2e7, error.advice.length > 0, kept.length);
      }`;
    const lines = await printed(program, { CASTOR_EMULATOR_MEMORY: String(88 * MB) });
    expect(lines).toEqual(['true 2,1048576', 'OutOfMemoryError sort true true true true 2']);
  });
  it('that a graph keeps is counted', () => {
    const before = memory.stats('cuda').graphBytes;
    const x = zeros([MB], { device: 'cuda' });
    using step = graph.capture(() => x.add(1).mul(2).sum(), { device: 'cuda' });
    expect(memory.stats('cuda').graphBytes - before).toBeGreaterThanOrEqual(8 * MB);
    step.dispose();
    expect(memory.stats('cuda').graphBytes).toBe(before);
  });
});

describe('transfers', () => {
  it('of any size arrive whole, both ways', async () => {
    for (const n of [0, 1, 1000, MB, MB + 1, 3 * MB + 7]) {
      const host = Float32Array.from({ length: n }, (_, i) => i % 1000);
      const t = tensor(host, { device: 'cuda' });
      host.fill(-1);
      const wanted = (i: number): boolean => i % 1000 === back[i];
      let back = t.dataSync() as Float32Array;
      expect(back.length).toBe(n);
      expect(back.every((_, i) => wanted(i))).toBe(true);
      back = (await t.data()) as Float32Array;
      expect(back.every((_, i) => wanted(i))).toBe(true);
      t.dispose();
    }
  });
  it('many small ones keep their order', () => {
    const t = zeros([1], { device: 'cuda' });
    const seen = Array.from({ length: 300 }, (_, i) => t.copy_(tensor([i], { device: 'cuda' })).itemSync());
    expect(seen).toEqual(Array.from({ length: 300 }, (_, i) => i));
  });
  test.each(['cpu', ...(cuda ? ['cuda' as const] : [])] as const)(
    'a read on %s shows the moment it was asked for',
    async device => {
      const t = full([1000], 1, { device });
      const first = t.data();
      t.add_(1);
      const second = t.toArray();
      t.dispose();
      expect([...(await first)].every(x => x === 1)).toBe(true);
      expect((await second) as number[]).toEqual(Array.from({ length: 1000 }, () => 2));
    },
  );
  test('reads that are under way at once do not get mixed up', async () => {
    const values = Array.from({ length: 50 }, (_, i) => i);
    const tensors = values.map(i => full([i + 1], i));
    const read = await Promise.all(tensors.map(t => t.data()));
    expect(read.map(array => [array.length, array[0]!])).toEqual(values.map(i => [i + 1, i]) as never);
    for (const t of tensors) t.dispose();
  });
  test('reads out of order are errors', () => {
    expect(native.castor_read_finish(123456789, new Uint8Array(8))).toBe(1);
    expect(native.castor_last_error()).toContain('there is no read');
    for (const id of [-1, 0.5, NaN, Infinity]) expect(native.castor_read_finish(id, new Uint8Array(8))).not.toBe(0);
  });
});

describe('between devices', () => {
  const layouts: Record<string, (t: Tensor) => Tensor> = {
    contiguous: t => t,
    transposed: t => t.T,
    sliced: t => t.at('1:5:2, ::-1'),
    broadcast: t => t.at('2').expand(3, 7),
    empty: t => t.at('2:2'),
    'of rank 0': t => t.at('1, 1'),
  };
  const dtypes: readonly DType[] = ['float32', 'float16', 'bfloat16', 'float64', 'int64', 'bool'];
  for (const [name, layout] of Object.entries(layouts))
    it(`a ${name} tensor keeps its values`, () => {
      for (const dtype of dtypes) {
        const here = layout(rand([6, 7]).mul(100).to('cpu'));
        const there = here.to({ device: 'cuda', dtype });
        expect([there.device, there.dtype, there.shape]).toEqual(['cuda:0', dtype, here.shape]);
        expect(there.to('cpu').toArraySync()).toEqual(here.to(dtype).toArraySync());
        const back = layout(there.rank === 2 && name === 'contiguous' ? there : rand([6, 7], { device: 'cuda' }));
        expect(back.to({ device: 'cpu', dtype: 'float64' }).toArraySync()).toEqual(back.to('float64').toArraySync());
      }
    });
  it('copy_ writes into any layout', () => {
    const target = zeros([3, 4], { device: 'cuda' });
    target.T.copy_(tensor([[1], [2], [3], [4]], { device: 'cpu', dtype: 'int64' }));
    expect(target.toArraySync()).toEqual([1, 2, 3].map(() => [1, 2, 3, 4]));
    const host = zeros([4, 3], { device: 'cpu', dtype: 'float16' });
    host.copy_(target.T);
    expect(host.T.toArraySync()).toEqual(target.toArraySync());
  });
  it('gradients flow back', () => {
    const w = nn.Parameter(tensor([1, 2, 3], { device: 'cpu' }));
    w.to('cuda')
      .mul(tensor([4, 5, 6], { device: 'cuda' }))
      .to('cpu')
      .sum()
      .backward();
    expect(w.grad!.device).toBe('cpu');
    expect(w.grad!.toArraySync()).toEqual([4, 5, 6]);
    w.grad!.dispose();
    w.dispose();
  });
  it('an op on two of them is an error', () => {
    expect(() => ones([2], { device: 'cpu' }).add(ones([2], { device: 'cuda' }))).toThrow(DeviceError);
  });
});

describe('what a kernel finds wrong with its data', () => {
  it('is thrown by the next call that waits, once', async () => {
    const table = rand([5, 2], { device: 'cuda' });
    const wrong = tensor([1, 7, 2], { device: 'cuda', dtype: 'int64' });
    const right = tensor([1, 4, 2], { device: 'cuda', dtype: 'int64' });
    for (const wait of [(t: Tensor) => t.dataSync(), () => synchronize('cuda')]) {
      const out = F.embedding(wrong, table);
      expect(() => wait(out)).toThrow(IndexError);
      expect(F.embedding(right, table).shape).toEqual([3, 2]);
      synchronize('cuda');
    }
    const reading = F.embedding(wrong, table).data();
    await expect(reading).rejects.toThrow(/earlier indexSelect .*index 7 on an axis of size 5/);
    synchronize('cuda');
  });
});

describe('a GPU that crashes', () => {
  const program = `
    const host = c.ones([3], { device: 'cpu' });
    const x = c.ones([1000]);
    const messages = [];
    for (let i = 0; i < 20; i++) messages.push(failure(() => x.exp().sum().itemSync()));
    const first = messages.find(text => text !== 'nothing');
    print(first);
    print(messages.at(-1) === messages.at(-2));
    print(failure(() => x.add(1)));
    print(failure(() => c.zeros([4])).slice(0, 16), failure(() => c.synchronize()).slice(0, 16), failure(() => c.graph.capture(() => x.add(1))).slice(0, 16));
    print(failure(() => x.dispose()), c.deviceInfo('cuda').available);
    print(await x.T.data().then(() => 'no error', error => error.name).catch(error => error.name));
    print(host.add(1).sum().itemSync());`;
  onEmulatorOnly('is lost and says so, and the CPU lives on', async () => {
    const [first, same, later, others, end, , cpu] = await printed(program, { CASTOR_EMULATOR_FAULT: '9' });
    expect(first).toMatch(
      /^DeviceLostError: .*device cuda:0 is lost: an illegal memory access was encountered.*the latest last: .*(exp|sum).*Restart the process/,
    );
    expect([same, cpu]).toEqual(['true', '6']);
    expect(later).toContain('is lost');
    expect(others).toBe('DeviceLostError: DeviceLostError: DeviceLostError:');
    expect(end).toBe('nothing false');
  });
});

describe('streams that run late', () => {
  onEmulatorOnly('give the same answers: nothing relies on work being done when a call returns', async () => {
    const program = `
      c.manualSeed(3);
      const w = c.nn.Parameter(c.randn([32, 32]));
      let losses = [];
      for (let i = 0; i < 5; i++) {
        const x = c.tensor(Float32Array.from({ length: 320 }, (_, j) => Math.sin(i + j))).reshape(10, 32);
        w.grad = null;
        const loss = c.F.dropout(x.matmul(w).tanh(), 0.5).square().mean();
        loss.backward();
        c.noGrad(() => w.sub_(w.grad.mul(0.1)));
        losses.push(loss.item());
      }
      print(await Promise.all(losses));
      const step = c.graph.capture(() => c.rand([4]).add(w.sum()));
      print((await step.replay().data()).join(), (await step.replay().data()).join());`;
    const eager = await printed(program, { CASTOR_EMULATOR_STREAMS: 'eager' });
    for (const CASTOR_EMULATOR_SEED of ['1', '2'])
      expect(await printed(program, { CASTOR_EMULATOR_STREAMS: 'lazy', CASTOR_EMULATOR_SEED })).toEqual(eager);
  });
});
