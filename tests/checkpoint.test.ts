import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CastorError,
  CheckpointError,
  dtypeNames,
  F,
  Generator,
  GradScaler,
  io,
  manualSeed,
  nn,
  optim,
  randn,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from 'castor';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-checkpoint-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
const place = (name: string): string => join(folder, `${name}.safetensors`);

interface Run {
  model: nn.Sequential;
  optimizer: optim.AdamW;
  scaler: GradScaler;
  generators: { weights: Generator; data: Generator };
}
const runs: Run[] = [];
/** A model in training, all of whose parts have changed. */
function started(seed: number, width = 4): Run {
  const generators = { weights: manualSeed(seed), data: new Generator(seed) };
  const model = new nn.Sequential(new nn.Linear(3, width), new nn.Tanh(), new nn.Linear(width, 2));
  const run = {
    model,
    optimizer: new optim.AdamW(model.parameters(), { lr: 0.1 * (seed + 1) }),
    scaler: new GradScaler({ growthInterval: 2 }),
    generators,
  };
  runs.push(run);
  return run;
}
function step({ model, optimizer, scaler, generators }: Run): number {
  return tidy(() => {
    optimizer.zeroGrad();
    const loss = F.mseLoss(model.forward(randn([8, 3], { generator: generators.data })), zeros([8, 2]));
    scaler.scale(loss).backward();
    scaler.step(optimizer);
    scaler.update();
    return loss.itemSync();
  });
}
/** Everything that a checkpoint contains, for comparison. */
const snapshot = ({ model, optimizer, scaler, generators }: Run): string =>
  JSON.stringify([
    [...model.stateDict()].map(([name, t]) => [name, t.toArraySync()]),
    optimizer.stateDict().groups,
    optimizer.stateDict().state.map(own => own && Object.entries(own).map(([name, t]) => [name, t.toArraySync()])),
    scaler.stateDict(),
    generators.data.state(),
  ]);
afterEach(() => {
  for (const { model, optimizer } of runs.splice(0)) {
    optimizer.zeroGrad();
    for (const own of optimizer.stateDict().state) for (const t of Object.values(own ?? {})) t.dispose();
    for (const parameter of model.parameters()) parameter.dispose();
  }
});

describe('saveTensors and loadTensors', () => {
  test('go round in every dtype, shape and layout', async () => {
    const path = place('tensors');
    const make = (): Map<string, Tensor> => {
      const all = new Map<string, Tensor>(
        dtypeNames.map(dtype => [
          dtype,
          tensor(
            [
              [1, 0, 3],
              [1, 2, 0],
            ],
            { dtype },
          ),
        ]),
      );
      all.set(
        'transposed',
        tensor([
          [1, 2, 3],
          [4, 5, 6],
        ]).T,
      );
      all.set('sliced', tensor([1, 2, 3, 4, 5, 6]).slice(0, 1, 6, 2));
      all.set('scalar', tensor(2.5));
      all.set('empty', zeros([0, 3]));
      all.set('large', tensor([2n ** 62n, -1n]));
      all.set('special', tensor([NaN, Infinity, -0, 1e-45]));
      all.set('a name / with "every" thing \u00e9', tensor([7]));
      return all;
    };
    await tidy(async () => {
      const saved = make();
      await io.saveTensors(path, saved, { note: 'of mine' });
      const { tensors, metadata } = await io.loadTensors(path);
      expect(metadata.note).toBe('of mine');
      expect([...tensors.keys()].toSorted()).toEqual([...saved.keys()].toSorted());
      for (const [name, t] of saved) {
        const loaded = tensors.get(name)!;
        expect([name, loaded.dtype, loaded.shape]).toEqual([name, t.dtype, t.shape]);
        expect(loaded.toArraySync()).toEqual(t.toArraySync());
      }
    });
  });
  test('take plain objects', async () => {
    const path = place('object');
    await tidy(async () => {
      await io.saveTensors(path, { one: tensor([1]) });
      expect((await io.loadTensors(path)).tensors.get('one')!.toArraySync()).toEqual([1]);
    });
  });
  test('leave no half-written file behind', async () => {
    await tidy(async () => {
      const t = tensor([1]);
      t.dispose();
      await expect(io.saveTensors(place('broken'), { good: tensor([2]), bad: t })).rejects.toBeInstanceOf(CastorError);
    });
    expect(readdirSync(folder).filter(name => name.includes('broken') || name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('a checkpoint', () => {
  test('resumes bit for bit', async () => {
    const path = place('resume');
    const first = started(1);
    for (let i = 0; i < 3; i++) step(first);
    await io.saveCheckpoint(path, { ...first, step: 3, extra: { epoch: 7 } });
    const second = started(2);
    step(second);
    expect(await io.loadCheckpoint(path, second)).toEqual({ step: 3, extra: { epoch: 7 } });
    expect(snapshot(second)).toBe(snapshot(first));
    for (let i = 0; i < 3; i++) expect(step(second)).toBe(step(first));
    expect(snapshot(second)).toBe(snapshot(first));
  });
  test('loads into a model alone', async () => {
    const path = place('alone');
    const [first, second] = [started(1), started(2)];
    step(first);
    await io.saveCheckpoint(path, { ...first, step: 1 });
    await io.loadCheckpoint(path, { model: second.model });
    expect([...second.model.parameters()].map(t => t.toArraySync())).toEqual(
      [...first.model.parameters()].map(t => t.toArraySync()),
    );
    expect(second.optimizer.paramGroups[0]!.lr).toBeCloseTo(0.3, 10);
  });

  describe('that does not fit leaves everything as it was:', () => {
    let path: string;
    /** The second run of the test. The first one was saved. */
    const mine = (): Run => runs[1]!;
    let before: string;
    beforeEach(async () => {
      path = place('fit');
      const saved = started(1);
      step(saved);
      await io.saveCheckpoint(path, { ...saved, step: 1 });
      step(started(2));
      before = snapshot(mine());
    });
    const refused = async (load: () => Promise<unknown>, message: RegExp): Promise<void> => {
      const error = (await load().catch((caught: unknown) => caught)) as CheckpointError;
      expect(error).toBeInstanceOf(CheckpointError);
      expect(error.message).toMatch(message);
      expect(error.op).toBeString();
      expect(error.advice).toBeString();
      expect(snapshot(mine())).toBe(before);
    };

    test('missing', () => refused(() => io.loadCheckpoint(place('nowhere'), mine()), /there is no file .*nowhere/));
    test('a folder', () => refused(() => io.loadCheckpoint(folder, mine()), /cannot be read/));
    test('truncated, at any byte', async () => {
      const whole = readFileSync(path);
      for (const size of [0, 7, 8, 9, 100, whole.length >> 1, whole.length - 1]) {
        writeFileSync(path, whole);
        truncateSync(path, size);
        await refused(() => io.loadCheckpoint(path, mine()), /truncated|not a safetensors file/);
      }
    });
    test('with bytes too many', async () => {
      writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(3)]));
      await refused(() => io.loadCheckpoint(path, mine()), /3 bytes too many/);
    });
    test('with a damaged header', async () => {
      const whole = readFileSync(path);
      const header = whole.toString('latin1');
      for (const [from, to] of [
        ['"F32"', '"F99"'],
        ['"shape":[4', '"shape":[9'],
        ['data_offsets', 'data_offsetz'],
        ['{"', '!"'],
      ] as const) {
        expect(header).toContain(from);
        writeFileSync(path, Buffer.from(header.replace(from, to), 'latin1'));
        await refused(
          () => io.loadCheckpoint(path, mine()),
          /damaged|gap|not a safetensors file|'model.layers.\d.(weight|bias)' of dtype F99/,
        );
      }
    });
    test('tensors without a training state', async () => {
      await tidy(() => io.saveTensors(path, mine().model.stateDict()));
      await refused(() => io.loadCheckpoint(path, mine()), /is not a checkpoint/);
    });
    test('of a model of other sizes', async () => {
      await io.saveCheckpoint(path, { ...started(1, 5), step: 1 });
      await refused(() => io.loadCheckpoint(path, mine()), /from another model: .*\[5, 3\].*\[4, 3\]/);
    });
    test('of a model of other layers', async () => {
      const model = new nn.Sequential(new nn.Linear(3, 4));
      await io.saveCheckpoint(path, { model, step: 1 });
      await refused(() => io.loadCheckpoint(path, { model: mine().model }), /layers.2.weight is missing/);
      for (const t of model.parameters()) t.dispose();
    });
    test('without the optimizer, scaler or generator that is asked for', async () => {
      const { model, optimizer, scaler } = mine();
      await io.saveCheckpoint(path, { model, step: 1 });
      await refused(() => io.loadCheckpoint(path, { model, optimizer }), /without an optimizer/);
      await refused(() => io.loadCheckpoint(path, { model, scaler }), /without a gradient scaler/);
      await refused(
        () => io.loadCheckpoint(path, { model, generators: mine().generators }),
        /generator weights is missing/,
      );
    });
    test('of another optimizer', async () => {
      const sgd = new optim.SGD(mine().model.parameters());
      await refused(
        () => io.loadCheckpoint(path, { model: mine().model, optimizer: sgd }),
        /saved with AdamW, not SGD/,
      );
    });
  });
});
