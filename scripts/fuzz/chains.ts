import type { Dice } from './dice.ts';
import { anySource } from './values.ts';

/** The objects that the actions of a chain work on. */
const WORLD = `
const { nn, optim, io, graph, autograd, F, tidy, noGrad, keep, memory, autocast, Generator, withGenerator } = C;
const model = new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU(), new nn.LayerNorm(4), new nn.Dropout(0.3), new nn.Linear(4, 2));
const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 });
const sgd = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
const scaler = new C.GradScaler({ initScale: 4 });
const w = h.leaf([2, 3]);
const path = 'chain.safetensors';
const batch = C.ones([5, 3]);
const loss = () => model.forward(batch).square().mean();
const world = { x: C.rand([2, 3]), y: C.rand([2, 3]), v: null, g: null, graph: null };
`;

/** Steps of training, changes in place, views, hooks, scopes, files and graphs, in any order, valid or not. */
const actions = [
  'loss().backward()',
  'scaler.scale(loss()).backward()',
  'await scaler.step(optimizer)',
  'scaler.step(sgd)',
  'scaler.unscale(optimizer)',
  'scaler.update()',
  'optimizer.step()',
  'sgd.step()',
  'optimizer.zeroGrad()',
  'model.zeroGrad()',
  'nn.clipGradNorm(model.parameters(), 1)',
  'model.train()',
  'model.eval()',
  'model.requiresGrad_(false)',
  'model.requiresGrad_()',
  'for (const p of model.parameters()) p.requiresGrad_(true)',
  'optimizer.paramGroups[0].lr = 0.01',
  'optimizer.paramGroups[0].lr = undefined',
  "optimizer.paramGroups[0].betas = 'x'",
  'optimizer.loadStateDict(optimizer.stateDict())',
  'sgd.loadStateDict(optimizer.stateDict())',
  'scaler.loadStateDict(scaler.stateDict())',
  'model.loadStateDict(model.stateDict())',
  'await io.saveCheckpoint(path, { model, optimizer, scaler, step: 1, generators: { g: new Generator(1) } })',
  'await io.saveCheckpoint(path, { model, step: NaN })',
  'await io.loadCheckpoint(path, { model, optimizer, scaler })',
  'await io.loadCheckpoint(path, { model })',
  'await io.saveTensors(path, { w, x: world.x })',
  '(await io.loadTensors(path)).tensors.size',
  'world.v = world.x.view([-1])',
  'world.v = world.x.T',
  'world.v = world.x.flip(0)',
  "world.v = world.x.at('::2')",
  'world.v = w.mul(2)',
  'world.v = world.v.select(0, 0)',
  'world.x.mul_(2)',
  'world.v.add_(1)',
  'world.v.copy_(world.y)',
  'world.v.add_(w.sum())',
  'world.x.zero_()',
  'world.x = world.x.add(world.y)',
  'world.x = w.mul(world.x)',
  'world.x = world.x.detach()',
  'world.v.sum().backward()',
  'world.x.sum().backward()',
  'world.x.sum().backward(undefined, { retainGraph: true })',
  'world.x.sum().backward(undefined, { createGraph: true })',
  'world.x.requiresGrad_()',
  'w.grad = null',
  'w.grad.mul_(2)',
  'w.grad.dispose()',
  'w.grad = C.ones([7])',
  "w.grad = 'a'",
  'noGrad(() => w.add_(1))',
  'w.add_(1)',
  'w.detach().mul_(0.5)',
  'world.g = autograd.grad(w.mul(world.x).sum(), w, { createGraph: true })[0]',
  'world.g.sum().backward()',
  'world.v = tidy(() => w.mul(3).add(1))',
  'tidy(() => { world.v = w.mul(3); })',
  'await tidy(async () => { world.v = w.exp(); await null; keep(world.v); })',
  'world.x.dispose()',
  'world.v.dispose()',
  'w.dispose()',
  'batch.dispose()',
  'world.x = C.rand([2, 3])',
  'w.registerHook(g => g.mul(2))',
  'w.registerHook(() => { throw new h.Thrown(); })',
  'w.registerHook(g => { g.dispose(); })',
  'w.registerHook(g => { world.g = g; })',
  "w.registerHook(() => 'a')",
  'w.registerHook(() => C.ones([9]))',
  'w.registerHook(g => { w.grad?.dispose(); world.x.sum().backward(); })',
  'world.v.retainGrad()',
  'world.v = autograd.checkpoint(x => x.mul(w).exp(), world.x)',
  'world.v = autograd.checkpoint(() => world.x.add(w))',
  'world.v = autograd.customFunction({ forward: (ctx, x) => { ctx.saveForBackward(x); return x.mul(2); }, backward: (ctx, g) => g.mul(ctx.savedTensors[0]) })(w)',
  "world.v = autograd.customFunction({ forward: () => 'a', backward: () => null })(w)",
  "world.v = autograd.customFunction({ forward: (c, x) => x, backward: () => ['a', 1] })(w)",
  'world.v = autograd.customFunction({ forward: (c, x) => x.exp(), backward: () => C.ones([1]) })(w)',
  "world.v = autocast({ dtype: 'bfloat16' }, () => model.forward(batch))",
  "world.v = autocast({ dtype: 'float16', device: 'cpu' }, () => w.matmul(world.x.T))",
  "await autocast.report({ dtype: 'bfloat16' }, () => loss().backward())",
  'world.graph = graph.capture(() => { const l = loss(); l.backward(); optimizer.step(); optimizer.zeroGrad(); return l; })',
  'world.graph = graph.capture(() => world.x.add_(1))',
  'world.graph = graph.capture(() => { throw new h.Thrown(); })',
  'world.graph = graph.capture(() => graph.capture(() => 1))',
  'graph.capture(() => world.x.itemSync())',
  'world.graph.replay()',
  'world.graph.dispose()',
  'await world.graph.result.data()',
  'memory.collect()',
  'memory.releaseCached()',
  'Bun.gc(true)',
  'await null',
  'withGenerator(new Generator(3), () => C.rand([2]))',
  'C.manualSeed(2)',
  'world.x.toArraySync()',
  '`${world.x}`',
  'await world.v.data()',
  'model.append = C.ones([2])',
  'model.layers = null',
  'model.extra = { deep: [new nn.Linear(2, 2), new Map([["m", new nn.Linear(1, 1)]])] }',
  'model.self = model',
  'model.parameters()',
  'model.stateDict()',
  'world.x.shape.toString()',
  'model.registerBuffer("b", C.ones([2]))',
  'model.registerParameter("p", nn.Parameter(C.ones([2])))',
  'model.b = null',
  'model.p = world.x',
  'model.append(1)',
  'world.v = world.x.at([0])',
  'world.v = world.x.at(world.x.gt(0.5))',
  'world.x.set_([0], 3)',
  'world.x.set_(world.x.gt(0.5), world.y)',
  'world.x.set_([null, [0, 1]], w)',
  'world.v = C.stack(world.x.unbind(0))',
  'world.v = C.cat(world.x.split(1), 0)',
  'world.v.unbind(0)[0].mul_(2)',
  "world.x = world.x.to('float16')",
  "world.x = world.x.to('int64')",
  'nn.clipGradValue(model.parameters(), 1)',
  'scaler.unscale_(optimizer)',
  'C.warnings.disable()',
  'C.warnings.enable()',
  'io.saveTensors(path, { w }); await io.saveTensors(path, { w })',
  'await Promise.all([io.saveTensors(path, { w }), io.loadTensors(path)])',
  'await C.tidy(async () => { await Bun.sleep(0); return w.add(1); })',
  'C.noGrad(() => world.x.requiresGrad_())',
  'w.requiresGrad = false',
  'w.grad = w.detach().clone()',
  'autograd.gradcheck(x => x.mul(2), [C.ones([2], { dtype: "float64", requiresGrad: true })])',
  'for (const t of [world.x, world.y, world.v]) t.dispose()',
  'world.x.shape.push(3)',
  'world.x.shape.pop()',
  'using t = C.ones([2]); t.mul(2)',
];

/**
 * Several actions, one after the other. Some of them set a tensor of the world to any value, which later actions may
 * use.
 */
export function chainFor(dice: Dice): string[] {
  return Array.from({ length: 4 + dice.below(12) }, () => {
    if (dice.chance(0.06)) return `world.${dice.pick(['x', 'y', 'v', 'g'])} = ${anySource(dice)}`;
    return dice.pick(actions);
  });
}

/** An async function that runs a chain, and calls `on` with each error and its action. */
export const chainSource = (chain: readonly string[]): string => `async (on) => { ${WORLD}
${chain.map(action => `try { ${action}; } catch (e) { on(e, ${JSON.stringify(action)}); }`).join('\n')}
}`;
