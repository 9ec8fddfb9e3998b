import { castInputs, wideResult } from '../amp/cast.ts';
import { autocastHere, autocastIn, leavesAlone, policyHere } from '../amp/state.ts';
import { isLeaf, ofInference } from '../autograd/node.ts';
import { backwardName, noteReads, readsOfCall, record, tracing, wantsGrad } from '../autograd/tape.ts';
import { noteView, OverwriteNode, rebaseHistory, type DifferentiableViewMeta } from '../autograd/views.ts';
import { current } from '../context.ts';
import { infoOf, noScalars, type Scalars } from '../dispatch/elementwise.ts';
import { flatBinary, flatUnary } from '../dispatch/flat.ts';
import { contextOf, deviceOf, withContext, type OpInfo } from '../dispatch/op.ts';
import { AutogradError, DTypeError, ShapeError, type ErrorContext } from '../errors.ts';
import { isHigher } from '../tensor/dtype.ts';
import { copyIfOverlapping, repeats } from '../tensor/overlap.ts';
import { contiguousCopy } from '../tensor/read.ts';
import { noteWrite } from '../tensor/graphCapture.ts';
import { graphEscapes } from '../tensor/scope.ts';
import { broadcast, format, sameShape } from '../tensor/shape.ts';
import { freedFor } from '../tensor/storage.ts';
import { isTensor, Tensor, type Operand } from '../tensor/tensor.ts';
import type { Op } from './registry.ts';

/**
 * Runs an op: its row of the table, autocast, dispatch, recording for backward. Autocast puts its casts into `inputs`, which must be a
 * list of this call alone.
 */
function run<P>(op: Op<P>, inputs: Operand[], params: P, again = true): Tensor | readonly Tensor[] {
  const mode = current();
  const autocast = autocastIn(mode);
  try {
    noteReads(inputs);
    const policy = autocast === null ? 'input' : policyHere(op, autocast);
    const report = autocast === null ? null : autocast.report;
    const given = report === null ? inputs : inputs.slice();
    const copies = policy === 'input' ? null : castInputs(op, policy, inputs, autocast!, mode.grad);
    const result = op.kind.run(op, inputs, params, policy === 'fp32' ? wideResult(op, inputs, autocast!) : null);
    if (result instanceof Tensor && result.base !== null) noteView(op, inputs[0] as Tensor, params, result, mode.grad);
    if (mode.grad && wantsGrad(inputs)) {
      if (result instanceof Tensor) record(op, inputs, params, result, null);
      else record(op, inputs, params, result[0]!, result);
    }
    if (report !== null)
      report.noteOp(op, autocast!.given ?? policy, given, inputs, result instanceof Tensor ? result : result[0]!);
    // The graph holds those that it needs.
    if (copies !== null) for (const copy of copies) copy.dispose();
    return result;
  } catch (error) {
    if (again && freedFor(error)) return run(op, inputs, params, false);
    throw withContext(error, op, inputs);
  }
}

/**
 * The fast path of calls of elementwise ops: the operands are floating tensors of one dtype and layout, autocast changes nothing, and
 * nothing traces the call. It does the same as run() does then, with fewer objects and questions. Returns null where anything is unusual.
 */
function fast(op: Op<Scalars>, a: Tensor, b: Tensor | null): Tensor | null {
  const mode = current();
  if (tracing() || !(mode.autocast === null || leavesAlone(op, a, autocastIn(mode)!))) return null;
  const out = b === null ? flatUnary(op, a, noScalars, null) : flatBinary(op, a, b, noScalars, null);
  if (out !== null && mode.grad && (a.node !== null || (b !== null && b.node !== null)))
    record(op, b === null ? [a] : [a, b], noScalars, out, null);
  return out;
}
/** The node of a view may have to be made first, which can fail. */
const isPlain = (x: unknown): x is Tensor => isTensor(x) && x.viewMeta === null;

/** Calls an elementwise op of one operand that takes no parameters. */
export const callUnary = (op: Op<Scalars>, a: Tensor): Tensor =>
  (isPlain(a) ? fast(op, a, null) : null) ?? call(op, [a], noScalars);
/** Calls an elementwise op of two operands that takes no parameters. */
export const callBinary = (op: Op<Scalars>, a: Tensor, b: Tensor | number): Tensor =>
  (isPlain(a) && isPlain(b) ? fast(op, a, b) : null) ?? call(op, [a, b], noScalars);

/** Makes many views of one tensor by one op. The parts that are the same for all of them are computed once. */
export function callViews<P>(op: Op<P>, x: Tensor, each: readonly P[]): Tensor[] {
  const { grad, autocast } = current();
  if (autocast !== null) return each.map(params => call(op, [x], params));
  const inputs = [x];
  noteReads(inputs);
  try {
    const recorded = grad && x.node !== null;
    return each.map(params => {
      const out = op.kind.run(op, inputs, params, null) as Tensor;
      noteView(op, x, params, out, grad);
      if (recorded) record(op, inputs, params, out, null);
      return out;
    });
  } catch (error) {
    throw withContext(error, op, inputs);
  }
}

/** Returns all outputs of an op. Those past the first carry no gradient. */
export function callAll<P>(op: Op<P>, inputs: Operand[], params: NoInfer<P>): readonly Tensor[] {
  const result = run(op, inputs, params);
  return result instanceof Tensor ? [result] : result;
}

/** Returns the first output of an op. The others, which only backward needs, are freed with the graph. */
export function call<P>(op: Op<P>, inputs: Operand[], params: NoInfer<P>): Tensor {
  const result = run(op, inputs, params);
  if (result instanceof Tensor) return result;
  for (let i = 1; i < result.length; i++) result[i]!.dispose();
  return result[0]!;
}

/**
 * Must a write to this tensor be recorded for backward? `repeated` says whether the tensor may show elements at several positions.
 * @throws AutogradError if the write cannot be recorded
 */
export function checkInPlace(name: string, target: Tensor, inputs: readonly Operand[], repeated = false): boolean {
  if (!repeated && target.base !== null && repeats(target))
    throw new ShapeError(
      `it has stride 0 on axis ${target.strides.indexOf(0)}: several positions are one element of memory, as expand() makes them`,
      { ...contextOf({ name }, inputs), advice: 'clone() it first' },
    );
  const { viewMeta } = target;
  const mode = current();
  if (target.storage.inference && !mode.inference)
    throw ofInference('an inference tensor is changed in place in inference mode only', contextOf({ name }, inputs));
  if (!mode.grad || !target.isFloat) return false;
  if (!wantsGrad(inputs) && !viewMeta?.root.recorded) return false;
  const context = { ...contextOf({ name }, inputs), advice: 'Use the out-of-place form, or do it inside noGrad()' };
  if (viewMeta !== null) checkView(target, viewMeta as DifferentiableViewMeta, context);
  if (target.node !== null && isLeaf(target))
    throw new AutogradError('a leaf that requires a gradient cannot be changed in place', context);
  graphEscapes();
  return true;
}

function checkView(view: Tensor, viewMeta: DifferentiableViewMeta, context: ErrorContext): void {
  const { root, origin } = viewMeta;
  if (origin !== 'recorded') throw viewMeta.refusal(view, 'cannot be changed in place').explain(context);
  if (root.node !== null && isLeaf(root))
    throw new AutogradError('a view of a leaf that requires a gradient cannot be changed in place', context);
  if (repeats(root))
    throw new AutogradError('a view of a tensor that shows elements several times cannot be changed in place', {
      ...context,
      advice: 'clone() the base first',
    });
}

const results: Readonly<Record<string, string>> = { int: 'an integer', float: 'a floating' };

/**
 * @throws DTypeError unless the result has the category of the target's dtype or a lower one (bool, int, float), and for bool that the op
 * refuses
 */
function checkCategory(op: OpInfo<Scalars>, name: string, target: Tensor, inputs: readonly Operand[]): void {
  const info = infoOf(op, inputs);
  if (isHigher(info, target.info))
    throw new DTypeError(`${results[info.category]} result cannot be written to ${target.dtype}`, {
      op: name,
      advice: 'Use the out-of-place form',
    });
}

function checkTarget(op: OpInfo<Scalars>, name: string, inputs: readonly Operand[]): void {
  const target = inputs[0] as Tensor;
  const other = inputs[1];
  if (target.info.category !== 'float' || op.bool === 'never') checkCategory(op, name, target, inputs);
  if (!isTensor(other)) return;
  deviceOf({ name }, [target, other]);
  if (!sameShape(broadcast(target.shape, other.shape, name), target.shape))
    throw new ShapeError(`${format(other.shape)} does not broadcast to ${format(target.shape)}`, { op: name });
}

/** Returns the operands for backward: a copy of each that backward reads and that is about to be overwritten. */
function beforeOverwrite(op: Op, target: Tensor, inputs: readonly Operand[]): readonly Operand[] {
  const reads = readsOfCall(op, inputs);
  return inputs.map((input, i) => {
    if (!isTensor(input) || input.storage !== target.storage) return input;
    const before = reads & (1 << i) ? contiguousCopy(input, input.info) : input.alias();
    before.node = input.node;
    return before;
  });
}

/** Counts an in-place write and adds it to autocast's report. Autocast does not change it. */
export function noteInPlace(op: { name: string }, target: Tensor, inputs: readonly Operand[]): void {
  noteWrite(target.storage);
  autocastHere()?.report?.noteOp(op, 'input', inputs, inputs, target);
}

/** Computes an op into its first operand. A second operand that overlaps with it is copied first. */
function computeInPlace(op: OpInfo<Scalars>, [target, other]: readonly Operand[], params: Scalars): void {
  const out = target as Tensor;
  if (!isTensor(other)) return op.kind.into!(op, other == null ? [out] : [out, other], params, out);
  const apart = copyIfOverlapping(out, other);
  op.kind.into!(op, [out, apart], params, out);
  if (apart !== other) apart.dispose();
}

/** Calls an elementwise op that writes over its first operand. `named` is the op by its in-place name, for errors. */
export function callInPlace(
  op: Op<Scalars>,
  named: OpInfo<Scalars>,
  inputs: readonly Operand[],
  params: Scalars,
): Tensor {
  const target = inputs[0] as Tensor;
  const { name } = named;
  try {
    checkTarget(named, name, inputs);
    noteReads(inputs, 1);
    const before = checkInPlace(name, target, inputs) ? beforeOverwrite(op, target, inputs) : null;
    computeInPlace(named, inputs, params);
    noteInPlace(named, target, inputs);
    if (before === null) return target;
    rebaseHistory(target, () => {
      // The result of an op without a derivative does not depend on the earlier values.
      if (op.derivative === 'none') target.node = new OverwriteNode(backwardName(op.name), target, null);
      else record(op, before, params, target, null);
    });
    before.forEach((copy, i) => isTensor(copy) && copy !== inputs[i] && copy.dispose());
    return target;
  } catch (error) {
    throw withContext(error, { name }, inputs);
  }
}
