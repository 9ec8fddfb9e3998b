/** Captured batches of models whose parts are replaced, wherever a model may have parts. */
import { afterEach, describe, expect, test } from 'bun:test';
import { getDefaultDevice, memory, nn, randn, tidy, zeros, type Tensor } from 'castor';
import { batcher, type Batcher } from 'castor/serve';

type Served = Batcher<any>;
const made: Served[] = [];
const tensors: Tensor[] = [];
const parameter = (): Tensor => {
  const t = nn.Parameter(randn([4]));
  tensors.push(t);
  return t;
};
/** y = x scale, with a value that is kept, as user code does to look at it later. */
class Scale extends nn.Module {
  scale: Tensor | null = parameter();
  last: unknown = null;
  calls = 0;
  forward(x: Tensor): Tensor {
    this.last = [x.shape];
    this.calls++;
    const y = this.scale === null ? x : x.mul(this.scale);
    return this.training ? y.neg() : y;
  }
}
/** A model with parts in each place that may have them. */
class Model extends nn.Module {
  plain: Tensor | null = parameter();
  none: Tensor | null = null;
  buffer = nn.Buffer(parameter().detach().clone());
  child: nn.Module = new Scale();
  list: nn.Module[] = [new Scale(), new Scale()];
  blocks: { weight: Tensor; deep: Tensor[]; none: Tensor | null }[] = [
    { weight: parameter(), deep: [parameter()], none: null },
  ];
  map = new Map<string, Tensor>([['a', parameter()]]);
  set = new Set<Tensor>([parameter()]);
  numbers = Array.from({ length: 1000 }, (_, i) => i);
  self: object = {};
  constructor() {
    super();
    this.self = { model: this, list: this.list };
    tensors.push(this.buffer);
  }
  get computed(): Tensor {
    throw new Error('a getter was called');
  }
  forward(x: Tensor): Tensor {
    const parts = [this.plain, this.none, this.buffer, ...this.map.values(), ...this.set];
    for (const { weight, deep, none } of this.blocks) parts.push(weight, ...deep, none);
    let y = this.child.forward(x) as Tensor;
    for (const module of this.list) y = module.forward(y) as Tensor;
    return parts.reduce<Tensor>((sum, part) => (part === null ? sum : sum.add(part)), y);
  }
}
const inEval = (module: nn.Module): nn.Module => module.eval();
const changes: [string, (model: Model) => unknown][] = [
  ['a parameter in a property', model => (model.plain = parameter())],
  ['a parameter that is left out', model => (model.plain = null)],
  ['a parameter where none was', model => (model.none = parameter())],
  ['a buffer', model => tensors.push((model.buffer = nn.Buffer(zeros([4]))))],
  ['a module', model => (model.child = inEval(new Scale()))],
  ['a module in an array', model => (model.list[1] = inEval(new Scale()))],
  ['a module added to an array', model => model.list.push(inEval(new Scale()))],
  ['a module removed from an array', model => model.list.pop()],
  ['the order of an array', model => model.list.reverse()],
  ['an array', model => (model.list = [inEval(new Scale())])],
  ['a parameter of a module in an array', model => ((model.list[0] as Scale).scale = parameter())],
  ['a parameter of a plain object', model => (model.blocks[0]!.weight = parameter())],
  ['a parameter in an array of a plain object', model => (model.blocks[0]!.deep[0] = parameter())],
  ['a parameter where a plain object had none', model => (model.blocks[0]!.none = parameter())],
  ['a plain object', model => (model.blocks[0] = { weight: parameter(), deep: [], none: null })],
  ['a value of a Map', model => model.map.set('a', parameter())],
  ['a value added to a Map', model => model.map.set('b', parameter())],
  ['a value deleted from a Map', model => model.map.delete('a')],
  ['a value added to a Set', model => model.set.add(parameter())],
  ['a value exchanged in a Set', model => (model.set.clear(), model.set.add(parameter()))],
  ['training set by hand', model => (model.child.training = true)],
];
const both = (fn: (x: Tensor) => Tensor): [captured: Served, called: Served] => {
  const pair = [true, false].map(capture => batcher(fn, { capture }) as Served) as [Served, Served];
  made.push(...pair);
  return pair;
};
afterEach(async () => {
  for (const served of made.splice(0)) await served.close();
  for (const t of tensors.splice(0)) t.dispose();
});
async function agree([served, other]: [Served, Served]): Promise<void> {
  for (let i = 0; i < 4; i++) {
    const input = [i, 1, -2, 0.5];
    expect(await served.run(input)).toEqual(await other.run(input));
  }
}

describe('a captured batch sees', () => {
  test.each(changes)('%s', async (_, change) => {
    const model = new Model().eval();
    const pair = both(x => model.forward(x));
    await agree(pair);
    const before = pair[0].stats().captures!.replays;
    // The weights from before are freed later, as a server that exchanges weights may do.
    change(model);
    await agree(pair);
    // The first batch after a change calls fn.
    expect(pair[0].stats().captures).toMatchObject({ captured: 1, refused: 0, replays: before + 3 });
  });
  test('registered parameters that are assigned, also where none was, or registered again', async () => {
    const layer = new nn.Linear(4, 4, { bias: false });
    const bias = (): Tensor => parameter();
    const pair = both(x => layer.forward(x));
    await agree(pair);
    layer.bias = bias();
    await agree(pair);
    layer.bias = bias();
    await agree(pair);
    layer.bias = null;
    await agree(pair);
    layer.registerParameter('bias', bias());
    await agree(pair);
    expect(pair[0].stats().captures!.refused).toBe(0);
    tidy(() => layer.weight.dispose());
  });
});

test('what was replaced is collected, after a batch and after the last batcher has closed', async () => {
  class Large extends nn.Module {
    weight = nn.Parameter(zeros([2 ** 18]));
    forward(x: Tensor): Tensor {
      return x.add(this.weight.narrow(0, 0, 4));
    }
  }
  const model = new Large();
  const pair = both(x => model.forward(x));
  await agree(pair);
  const live = (): number => memory.stats(getDefaultDevice()).liveBytes;
  const before = live();
  const replaceAndCollect = async (): Promise<void> => {
    model.weight = nn.Parameter(zeros([2 ** 18]));
    if (!pair[0].closed) await agree(pair);
    for (let i = 0; i < 100 && live() > before; i++) {
      await Bun.sleep(1);
      Bun.gc(true);
      memory.collect();
    }
    expect(live()).toBeLessThanOrEqual(before);
  };
  await replaceAndCollect();
  for (const served of pair) await served.close();
  await replaceAndCollect();
  model.weight.dispose();
});

describe('a captured batch stays', () => {
  test('while a model keeps values that are no part of it, and other models are made', async () => {
    const model = new Model().eval();
    const pair = both(x => model.forward(x));
    await agree(pair);
    const { replays } = pair[0].stats().captures!;
    for (let i = 0; i < 4; i++) {
      model.numbers[i] = -1;
      model.numbers.push(i);
      (model.self as { extra?: number }).extra = i;
      (model.child as Scale).last = { activation: zeros([1]).detach(), sizes: [[i]] };
      new Model().eval().train();
      await pair[0].run([i, 0, 0, 0]);
    }
    expect(pair[0].stats().captures!.replays).toBe(replays + 4);
  });
  test('of a model whose containers lie deep', async () => {
    class Deep extends nn.Module {
      first: { weight: Tensor; next: object | null };
      constructor() {
        super();
        this.first = { weight: parameter(), next: null };
        for (let i = 0; i < 20_000; i++) this.first = { weight: this.first.weight, next: this.first };
      }
      forward(x: Tensor): Tensor {
        return x.mul(this.first.weight);
      }
    }
    const model = new Deep();
    const pair = both(x => model.forward(x));
    await agree(pair);
    model.first.weight = parameter();
    await agree(pair);
    expect(pair[0].stats().captures!.refused).toBe(0);
  });
});
