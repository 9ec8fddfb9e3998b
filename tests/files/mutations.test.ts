import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import {
  CastorError,
  dtypeNames,
  F,
  Generator,
  GradScaler,
  io,
  manualSeed,
  nn,
  optim,
  ones,
  tensor,
  tidy,
  type Tensor,
} from 'castor';
import { Dice } from '../dice.ts';
import { place, readRaw, useFolder, type RawTensor } from './place.ts';

/**
 * Files in which a few bytes, fields or lengths are changed at random. Each must either be refused with a Castor error,
 * without any change, or load exactly what it contains.
 */

useFolder();
const MUTANTS = 500;
const SEED = 20_260;

type Mutation = (file: Buffer, dice: Dice) => Buffer;
const at = (file: Buffer, dice: Dice, end = file.length): number => dice.below(end);
const headerEnd = (file: Buffer): number => Math.min(file.length, 8 + Number(file.readBigUInt64LE(0)));
/** Replaces a match of a pattern in the header, and corrects the length before it. */
function inHeader(file: Buffer, dice: Dice, pattern: RegExp, replacement: (text: string) => string): Buffer {
  const end = headerEnd(file);
  const text = file.toString('latin1', 8, end);
  const matches = [...text.matchAll(pattern)];
  if (matches.length === 0) return file;
  const match = matches[dice.below(matches.length)]!;
  const changed = text.slice(0, match.index) + replacement(match[0]) + text.slice(match.index + match[0].length);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(changed.length));
  return Buffer.concat([prefix, Buffer.from(changed, 'latin1'), file.subarray(end)]);
}
const words = [
  '"F16"',
  '"I64"',
  '"BOOL"',
  '"X"',
  'null',
  '[]',
  '{}',
  '-1',
  '1e99',
  '0.5',
  '""',
  'true',
  '[[1]]',
  '9007199254740993',
];
const mutations: Mutation[] = [
  (file, dice) => {
    file[at(file, dice)]! ^= 1 << dice.below(8);
    return file;
  },
  (file, dice) => {
    file[at(file, dice, headerEnd(file))] = dice.below(256);
    return file;
  },
  (file, dice) => {
    const start = headerEnd(file);
    if (start < file.length) file[start + dice.below(file.length - start)] = dice.below(256);
    return file;
  },
  (file, dice) => file.subarray(0, at(file, dice)),
  (file, dice) => Buffer.concat([file, Buffer.alloc(1 + dice.below(64))]),
  (file, dice) => {
    const [from, to] = [at(file, dice), at(file, dice)];
    return Buffer.concat([file.subarray(0, Math.min(from, to)), file.subarray(Math.max(from, to))]);
  },
  (file, dice) => {
    const [from, to, length] = [at(file, dice), at(file, dice), dice.below(40)];
    file.copyWithin(to, from, Math.min(from + length, file.length));
    return file;
  },
  (file, dice) => {
    file.writeBigUInt64LE(BigInt(dice.below(2 ** 31)) << BigInt(dice.below(33)), 0);
    return file;
  },
  (file, dice) =>
    inHeader(file, dice, /\d+/g, () => String(dice.below(2) ? dice.below(100) : dice.below(2 ** 31) * 2 ** 22)),
  (file, dice) => inHeader(file, dice, /"[^"]*"/g, () => words[dice.below(words.length)]!),
  (file, dice) => inHeader(file, dice, /\[[^[\]]*\]/g, () => words[dice.below(words.length)]!),
  (file, dice) => inHeader(file, dice, /\{[^{}]*\}/g, () => words[dice.below(words.length)]!),
  (file, dice) => inHeader(file, dice, /"[^"]*":/g, () => `"${['model.a', 'w', 'dtype', 'x'][dice.below(4)]}":`),
  (file, dice) => inHeader(file, dice, /-?\d+\.?\d*(e-?\d+)?/g, text => `-${text}`),
  (file, dice) => inHeader(file, dice, /(\w+)/g, text => text.slice(0, dice.below(text.length))),
];

/** Loads each mutated file. Returns how many were refused, and how many were loaded. */
async function tryAll(
  original: Buffer,
  load: (path: string) => Promise<void>,
  untouched: () => void,
): Promise<{ refused: number; loaded: number }> {
  const counts = { refused: 0, loaded: 0 };
  for (let i = 0; i < MUTANTS; i++) {
    const dice = new Dice(SEED + 7919 * i);
    let file: Buffer = Buffer.from(original);
    for (let n = 1 + dice.below(2); n > 0 && file.length >= 16; n--)
      file = mutations[dice.below(mutations.length)]!(file, dice);
    writeFileSync(place('mutant'), file);
    try {
      await load(place('mutant'));
      counts.loaded++;
    } catch (error) {
      if (!(error instanceof CastorError)) throw new Error(`mutant ${i}: ${String(error)}`, { cause: error });
      expect(error.message.length).toBeLessThan(3000);
      untouched();
      counts.refused++;
    }
  }
  return counts;
}

const codes = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float64: 'F64',
  int32: 'I32',
  int64: 'I64',
  uint8: 'U8',
  bool: 'BOOL',
};
/** Compares a tensor with the file byte by byte, by code that is independent of Castor. */
async function expectSame(
  tensors: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, RawTensor>,
): Promise<void> {
  await io.saveTensors(place('again'), tensors);
  const again = readRaw(place('again')).tensors;
  const list = (all: ReadonlyMap<string, RawTensor>): unknown[] =>
    [...all]
      .map(([name, { dtype, shape, bytes }]) => [name, dtype, shape, Buffer.from(bytes).toString('hex')])
      .toSorted();
  expect(list(again)).toEqual(list(expected));
}

test(`${MUTANTS} changed files of tensors`, async () => {
  await tidy(async () => {
    const all = Object.fromEntries(dtypeNames.map(dtype => [dtype, tensor([1, 0, 3], { dtype })]));
    await io.saveTensors(
      place('tensors'),
      { ...all, table: ones([2, 3]).T, none: ones([0, 2]), one: tensor(4) },
      { note: 'a "text"' },
    );
    expect(Object.keys(codes).toSorted()).toEqual([...dtypeNames].toSorted());
  });
  const { refused, loaded } = await tryAll(
    readFileSync(place('tensors')),
    path =>
      tidy(async () => {
        const { tensors, metadata } = await io.loadTensors(path);
        const raw = readRaw(path);
        await expectSame(tensors, raw.tensors);
        expect(metadata).toEqual(raw.metadata);
      }),
    () => {},
  );
  expect(refused).toBeGreaterThan(MUTANTS / 4);
  expect(loaded).toBeGreaterThan(MUTANTS / 50);
});

describe('checkpoints', () => {
  class Run {
    readonly generators = { data: new Generator(5) };
    readonly model = new nn.Sequential(new nn.Linear(2, 3), new nn.Linear(3, 1));
    readonly optimizer = new optim.AdamW(this.model.parameters(), { lr: 0.25 });
    readonly scaler = new GradScaler({ growthInterval: 3, initScale: 4 });
    train(): void {
      tidy(() => {
        this.optimizer.zeroGrad();
        this.scaler.scale(F.mseLoss(this.model.forward(ones([4, 2])), ones([4, 1]))).backward();
        this.scaler.step(this.optimizer);
        this.scaler.update();
        this.generators.data.setState({ seed: 5, offset: this.generators.data.state().offset + 1 });
      });
    }
    tensors(): Map<string, Tensor> {
      const all = [...this.model.stateDict()].map(([name, t]): [string, Tensor] => [`model.${name}`, t]);
      this.optimizer.stateDict().state.forEach((own, i) => {
        for (const [name, t] of Object.entries(own ?? {})) all.push([`optimizer.${i}.${name}`, t]);
      });
      return new Map(all);
    }
    snapshot(): string {
      return JSON.stringify([
        [...this.tensors()].map(([name, t]) => [name, t.dataSync().toString()]),
        this.optimizer.stateDict().groups,
        this.scaler.stateDict(),
        this.generators.data.state(),
      ]);
    }
    dispose(): void {
      this.optimizer.zeroGrad();
      for (const t of this.tensors().values()) t.dispose();
    }
  }
  let saved: Run | undefined;
  let mine: Run | undefined;
  beforeAll(async () => {
    manualSeed(1);
    [saved, mine] = [new Run(), new Run()];
    for (let i = 0; i < 3; i++) saved.train();
    mine.train();
    await io.saveCheckpoint(place('checkpoint'), { ...saved, step: 3, extra: { best: 0.5 } });
    await io.saveCheckpoint(place('mine'), { ...mine, step: 1 });
  });
  afterAll(() => {
    saved!.dispose();
    mine!.dispose();
    saved = mine = undefined;
  });

  test(`${MUTANTS} changed files`, async () => {
    const run = mine!;
    const before = run.snapshot();
    const { refused, loaded } = await tryAll(
      readFileSync(place('checkpoint')),
      async path => {
        const { step, extra } = await io.loadCheckpoint(path, run);
        const raw = readRaw(path);
        const state = JSON.parse(raw.metadata['castor.checkpoint']!);
        expect({ step, extra }).toEqual({ step: state.step, extra: state.extra });
        await expectSame(run.tensors(), raw.tensors);
        for (const [name, value] of Object.entries(state.optimizer.groups[0]))
          if (name !== 'params') expect(run.optimizer.stateDict().groups[0]![name]).toEqual(value);
        const { scale, growthTracker, growthInterval } = state.scaler;
        expect(run.scaler.stateDict()).toMatchObject({ scale, growthTracker: growthTracker + 0, growthInterval });
        expect(run.generators.data.state()).toEqual(state.generators.data);
        await io.loadCheckpoint(place('mine'), run);
        expect(run.snapshot()).toBe(before);
      },
      () => expect(run.snapshot()).toBe(before),
    );
    expect(refused).toBeGreaterThan(MUTANTS / 4);
    expect(loaded).toBeGreaterThan(MUTANTS / 50);
  });
});
