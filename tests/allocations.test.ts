/** The number of allocations: an op that needs no copy makes none, and intermediate results are freed. */
import { describe, expect, test } from 'bun:test';
import {
  arange,
  autocast,
  F,
  GradScaler,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  OutOfMemoryError,
  tidy,
  zeros,
  type Device,
  type Tensor,
} from 'castor';
import { check } from '../runtime/dispatch/op.ts';
import { OUT_OF_MEMORY } from '../runtime/ffi/check.ts';
import { bytesOf } from '../runtime/tensor/bytes.ts';
import { printed } from './process.ts';
import { devices, liveStorages } from './setup.ts';

const allocations = (device: Device): number => memory.stats(device).allocations;

for (const device of devices)
  describe(`allocations, ${device}`, () => {
    /** The number of blocks of memory that a call allocates. */
    const asked = (make: () => unknown): number => {
      const before = allocations(device);
      make();
      return allocations(device) - before;
    };
    const table = (): Tensor => arange(16, { device, dtype: 'float32' }).reshape([4, 4]);

    test.each<[string, (x: Tensor, other: Tensor, row: Tensor) => unknown, number]>([
      ['an op makes its result', x => x.neg(), 1],
      ['a number is not a tensor', x => x.add(1), 1],
      ['a row is broadcast where it lies', (x, _, row) => x.mul(row), 1],
      ['views', x => [x.T, x.slice(0, 1), x.select(1, 2), x.unsqueeze(0), x.narrow(1, 0, 2), x.expand([2, 4, 4])], 0],
      ['many views', x => [...x.split(1), ...x.unbind(1), ...x.chunk(2)], 0],
      ['reshape where the layout allows it', x => [x.reshape([2, 8]), x.T.reshape([4, 4, 1]), x.flatten()], 0],
      ['reshape where it does not', x => x.T.reshape([16]), 1],
      ['contiguous, of what is', x => [x.contiguous(), x.slice(0, 1).contiguous()], 0],
      ['contiguous, of what is not', x => x.T.contiguous(), 1],
      ['to what it is', x => [x.to('float32'), x.float(), x.to(device), x.to(x), x.to({})], 0],
      ['to another dtype', x => x.to('float64'), 1],
      ['detach and alias', x => [x.detach(), x.alias()], 0],
      ['reading what lies in order', x => [x.dataSync(), x.slice(0, 1).dataSync()], 0],
      ['reading what does not', x => x.T.dataSync(), 1],
      ['reading bfloat16', x => x.to('bfloat16').dataSync(), 2],
      ['reading one element', x => x.select(0, 1).select(0, 1).itemSync(), 0],
      ['in place', x => [x.neg_(), x.add_(1), x.fill_(2), x.zero_()], 0],
      ['in place with another tensor', (x, other) => [x.add_(other), x.copy_(other)], 0],
      ['in place with another tensor, laid out otherwise', (x, other) => [x.add_(other.T), x.T.copy_(other)], 0],
      ['in place with a row of another', (x, _, row) => [x.add_(row), x.copy_(row)], 0],
      ['in place with itself', x => [x.add_(x), x.copy_(x), x.mul_(x.alias())], 0],
      [
        'in place with another part of itself',
        x => [x.select(0, 0).copy_(x.select(0, 1)), x.T.select(1, 0).add_(x.T.select(1, 2))],
        0,
      ],
      ['in place with a part that overlaps', x => x.slice(0, 1).copy_(x.slice(0, 0, -1)), 1],
      ['in place with its own transpose', x => x.add_(x.T), 1],
      ['comparing tensors of one dtype', (x, other) => x.eq(other.T), 1],
      ['comparing with a number', x => x.eq(0.1), 1],
      ['linear', x => F.linear(x, x), 1],
      ['matmul of what is transposed', x => x.matmul(x.T), 1],
      ['writing with a lookup', (x, _, row) => x.set_([[0, 2]], row), 1],
    ])('%s', (_, call, count) =>
      tidy(() =>
        noGrad(() => {
          const operands = [ones([4, 4], { device }), ones([4], { device })] as const;
          // The first call may fill caches.
          call(table(), ...operands);
          const x = table();
          expect(asked(() => call(x, ...operands))).toBe(count);
        }),
      ),
    );

    // Outside every scope, because a scope would free a tensor that the op forgot to free.
    test.each<[string, (x: Tensor) => unknown]>([
      ['dataSync', x => x.dataSync()],
      ['data', x => x.data()],
      ['toArraySync', x => x.toArraySync()],
      ['toArray', x => x.toArray()],
      ['itemSync', x => x.slice(0, 0, 1).slice(1, 0, 1).itemSync()],
      ['item', x => x.slice(0, 0, 1).slice(1, 0, 1).item()],
      ['text', x => String(x)],
      ['text of a part', x => String(x.expand([1000, 4, 4]))],
      ['saving', x => Array.fromAsync(bytesOf(x))],
    ])('reading with %s leaves nothing', async (_, read) => {
      for (const dtype of ['float32', 'bfloat16', 'int64', 'bool'] as const)
        for (const transposed of [false, true]) {
          const given = zeros([4, 4], { device, dtype });
          const before = liveStorages(device);
          const result = read(transposed ? given.T : given);
          if (result instanceof Promise) await result;
          expect([dtype, transposed, liveStorages(device)]).toEqual([dtype, transposed, before]);
          given.dispose();
        }
    });
    test('reading is counted once a read', async () => {
      const x = table();
      const reads = async (read: () => unknown): Promise<number> => {
        const before = memory.stats(device).hostReads;
        await read();
        return memory.stats(device).hostReads - before;
      };
      const counts = [];
      for (const read of [
        () => x.dataSync(),
        () => x.data(),
        () => x.T.data(),
        () => x.toArraySync(),
        () => x.sum().item(),
        () => String(x),
        () => x.add(1).dispose(),
        () => Array.fromAsync(bytesOf(x)),
      ])
        counts.push(await reads(read));
      expect(counts).toEqual([1, 1, 1, 1, 1, 1, 0, 1]);
      for (const t of [x]) (t.base ?? t).dispose();
    });
  });

for (const device of devices)
  describe(`the host waits for results of the device, ${device}`, () => {
    const rows = (): Tensor => zeros([4, 3], { device });
    const mask = (): Tensor => arange(4, { device }).gt(1);
    const full = (...shape: number[]): Tensor => ones(shape, { device });
    test.each<[string, () => unknown, number]>([
      ['a number written with a mask', () => rows().set_(mask(), 2), 0],
      ['one value', () => rows().set_(mask(), full()), 0],
      ['one value, of one axis', () => rows().set_(mask(), full(1)), 0],
      ['one row', () => rows().set_(mask(), full(3)), 0],
      ['one row, of two axes', () => rows().set_(mask(), full(1, 3)), 0],
      ['one row, of three axes', () => rows().set_([null, mask()], full(1, 1, 3)), 0],
      ['one column for all', () => rows().set_(mask(), full(1, 1)), 0],
      ['a row for each', () => rows().set_(mask(), full(2, 3)), 1],
      ['one value for each', () => rows().set_(mask(), full(2, 1)), 1],
      ['a number added', () => rows().set_(mask(), 2, { accumulate: true }), 0],
      ['a row added', () => rows().set_(mask(), full(3), { accumulate: true }), 0],
      ['a mask behind a range', () => rows().set_(['1:3', arange(3, { device }).gt(0)], full(2, 1)), 0],
      ['a mask of two axes', () => rows().set_(rows().gt(0), full()), 0],
      ['a mask of two axes, and a value for each', () => rows().set_(rows().ge(0), full(12)), 1],
      ['a mask beside positions', () => rows().set_([mask(), [0, 1]], full(2)), 1],
      ['reading through a mask', () => rows().at(mask()), 1],
      ['reading through two', () => rows().at(mask(), arange(3, { device }).lt(2)), 2],
      ['a mask without elements', () => zeros([0], { device }).at(zeros([0], { device }).gt(0)), 0],
      [
        'positions',
        () =>
          rows()
            .at([0, 2])
            .add(
              rows()
                .at([[0, 1]], 2)
                .sum(),
            ),
        0,
      ],
      ['writing to positions', () => rows().set_([[0, 2]], full(2, 3)), 0],
      [
        'a loss and its gradients',
        () => F.crossEntropy(full(4, 3).requiresGrad_(), zeros([4], { device, dtype: 'int64' })).backward(),
        0,
      ],
      ['random numbers', () => rows().dropout(0.5).add(rows().normal_()), 0],
      ['sorting', () => [rows().sort(), rows().topk(2), rows().max(0), rows().argmax()], 0],
    ])('%s', (_, call, count) =>
      tidy(() => {
        const reads = memory.stats(device).hostReads;
        call();
        expect(memory.stats(device).hostReads - reads).toBe(count);
      }),
    );
    test('training in mixed precision waits for nothing', () =>
      tidy(() => {
        const p = full(3).requiresGrad_();
        const scaler = new GradScaler({ device });
        const optimizer = new optim.AdamW([p]);
        const reads = memory.stats(device).hostReads;
        for (let step = 0; step < 3; step++) {
          optimizer.zeroGrad();
          scaler.scale(autocast({ device }, () => p.mul(p).sum())).backward();
          scaler.unscale(optimizer);
          nn.clipGradNorm([p], 1);
          scaler.step(optimizer);
          scaler.update();
        }
        expect(memory.stats(device).hostReads).toBe(reads);
      }));
  });

test('nothing was read before the first read', async () => {
  const program = `print(c.memory.stats('cpu').hostReads, c.memory.stats('cpu').liveStorages);
    const x = c.zeros([2], { device: 'cpu' });
    x.dataSync();
    print(c.memory.stats('cpu').hostReads);`;
  expect(await printed(program)).toEqual(['0 0', '1']);
});

test('a kernel that lacks memory for its work says how much there is', () =>
  tidy(() => {
    const x = ones([1000]);
    let error: unknown;
    try {
      check(OUT_OF_MEMORY, { name: 'sort' }, [2, x]);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ op: 'sort', shapes: [[1000]], advice: expect.stringContaining('tidy()') });
    const { liveBytes, freeBytes } = memory.stats(x.device);
    expect((error as OutOfMemoryError).liveBytes).toBe(liveBytes);
    expect((error as OutOfMemoryError).freeBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeGreaterThan(0);
  }));

test('a process that has made nothing yet has no memory in its statistics', async () => {
  const lines = await printed(
    'const { liveBytes, peakBytes, liveStorages, allocations } = c.memory.stats();' +
      'print(c.memory.peak(), liveBytes, peakBytes, liveStorages, allocations)',
  );
  expect(lines).toEqual(['0 0 0 0 0']);
});
