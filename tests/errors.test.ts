import { describe, expect, test } from 'bun:test';
import {
  AutogradError,
  ArgumentError,
  autograd,
  bernoulli,
  cat,
  CastorError,
  CheckpointError,
  DeviceError,
  DisposedError,
  DTypeError,
  F,
  full,
  getDefaultDevice,
  IndexError,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  OutOfMemoryError,
  rand,
  randint,
  ShapeError,
  stack,
  synchronize,
  tensor,
  tidy,
  zeros,
  type DType,
  type Tensor,
} from 'castor';
import { Storage } from '../runtime/tensor/storage.ts';
import { Tensor as TensorClass } from '../runtime/tensor/tensor.ts';

/**
 * A mistake, the class of the error that it must throw, the message and its op, and the shapes and dtypes of the error.
 */
type Mistake = readonly [
  name: string,
  call: () => unknown,
  error: new (...args: never[]) => CastorError,
  message: RegExp,
  op: string,
  shapes?: number[][] | undefined,
  dtypes?: DType[],
];

const ids = (values: number[]): Tensor => tensor(values, { dtype: 'int64' });
const leaf = (shape: number[]): Tensor => ones(shape, { requiresGrad: true });

/**
 * The same memory, declared to be on the GPU, or on the CPU. This is enough for all checks before the call into the
 * native library.
 */
function onOtherDevice(shape: number[], dtype: DType = 'float32'): Tensor {
  const t = zeros(shape, { dtype });
  return new TensorClass(new Storage(t.storage.handle, 0, 1 - t.storage.device), t.layout, t.info, t);
}

// prettier-ignore
const shapes: Mistake[] = [
  ['add', () => zeros([2, 3]).add(zeros([4])),
    ShapeError, /\[2, 3\] and \[4\] do not broadcast/, 'add', [[2, 3], [4]], ['float32', 'float32']],
  ['lt', () => zeros([2]).lt(zeros([3])), ShapeError, /do not broadcast/, 'lt', [[2], [3]], ['float32', 'float32']],
  ['where', () => F.where(ones([3], { dtype: 'bool' }), zeros([2]), 0), ShapeError, /do not broadcast/, 'where'],
  ['add_', () => zeros([3]).add_(zeros([2, 3])),
    ShapeError, /\[2, 3\] does not broadcast to \[3\]/, 'add_', [[3], [2, 3]]],
  ['writing to repeated memory', () => zeros([3]).expand(2, 3).add_(1),
    ShapeError, /stride 0 on axis 0/, 'add_', [[2, 3]]],
  ['copy_', () => zeros([3]).copy_(zeros([2])), ShapeError, /do not broadcast/, 'copy_', [[3], [2]]],
  ['expand', () => zeros([2, 3]).expand(4, 3), ShapeError, /broadcast|expand/, 'expand', [[2, 3], [4, 3]]],
  ['matmul', () => zeros([2, 3]).matmul(zeros([4, 5])),
    ShapeError, /inner sizes 3 and 4 differ/, 'matmul', [[2, 3], [4, 5]], ['float32', 'float32']],
  ['matmul of batches', () => zeros([2, 3, 4]).matmul(zeros([5, 4, 3])), ShapeError, /do not broadcast/, 'matmul'],
  ['matmul of a number', () => zeros([]).matmul(zeros([2, 2])),
    ShapeError, /rank 0 has no product/, 'matmul', [[], [2, 2]]],
  ['linear', () => F.linear(zeros([2, 3]), zeros([5, 4])),
    ShapeError, /\[2, 3\] and weight \[5, 4\] do not fit/, 'linear', [[2, 3], [5, 4]]],
  ['linear with a wrong bias', () => F.linear(zeros([2, 3]), zeros([5, 3]), zeros([4])),
    ShapeError, /bias \[4\] must have shape \[5\]/, 'linear'],
  ['conv2d', () => F.conv2d(zeros([1, 3, 8, 8]), zeros([4, 2, 3, 3])),
    ShapeError, /channels do not fit/, 'convolution'],
  ['conv2d of a large kernel', () => F.conv2d(zeros([1, 1, 2, 2]), zeros([1, 1, 3, 3])),
    ShapeError, /larger than the padded input/, 'convolution'],
  ['maxPool2d', () => F.maxPool2d(zeros([1, 1, 2, 2]), 3),
    ShapeError, /do not fit \[1, 1, 2, 2\]/, 'maxPool2d', [[1, 1, 2, 2]]],
  ['attention', () => F.scaledDotProductAttention(zeros([1, 2, 4, 8]), zeros([1, 2, 4, 6]), zeros([1, 2, 4, 8])),
    ShapeError, /query .* key .* do not fit/, 'scaledDotProductAttention'],
  ['layerNorm', () => F.layerNorm(zeros([2, 3]), [4]),
    ShapeError, /does not end in the normalised shape \[4\]/, 'layerNorm', [[2, 3]]],
  ['crossEntropy', () => F.crossEntropy(zeros([2, 3]), ids([0, 1, 2])),
    ShapeError, /class indices of shape \[2\], not \[3\]/, 'crossEntropy', [[2, 3], [3]], ['float32', 'int64']],
  ['mseLoss', () => F.mseLoss(zeros([2]), zeros([2, 1])), ShapeError, /must have one shape/, 'mseLoss', [[2], [2, 1]]],
  ['cat', () => cat([zeros([2, 3]), zeros([2, 4])]), ShapeError, /differ outside axis 0/, 'cat', [[2, 3], [2, 4]]],
  ['reshape', () => zeros([2, 3]).reshape(4, 2),
    ShapeError, /6 elements cannot become \[4, 2\]/, 'reshape', [[2, 3], [4, 2]]],
  ['view of a transpose', () => zeros([2, 3]).T.view(6), ShapeError, /has no view/, 'view', [[3, 2], [6]]],
  ['split', () => zeros([5]).split([2, 2]), ShapeError, /do not fill axis 0 of size 5/, 'split', [[5]]],
  ['gather', () => zeros([2, 3]).gather(1, ids([0])), ShapeError, /as many axes/, 'gather', [[2, 3], [1]]],
  ['item', () => zeros([2]).itemSync(), ShapeError, /\[2\] is not one number/, 'item', [[2]]],
  ['batchNorm with a weight of another size', () => F.batchNorm(zeros([2, 3, 4]), { weight: zeros([4]), training: true }),
    ShapeError, /one value for each of 3 channels/, 'batchNorm'],
  ['batchNorm of one value', () => new nn.BatchNorm2d(3).forward(zeros([1, 3, 1, 1])),
    ShapeError, /one value alone has no variance/, 'batchNorm'],
  ['batchNorm without channels', () => F.batchNorm(zeros([2, 0, 3]), { training: true }),
    ShapeError, /\[2, 0, 3\] has no channels, which are axis 1/, 'batchNorm'],
  ['groupNorm of one value a group', () => F.groupNorm(zeros([1, 2]), 2),
    ShapeError, /one value alone has no variance/, 'groupNorm'],
  ['groupNorm of nothing in a channel', () => F.groupNorm(zeros([2, 4, 0]), 2),
    ShapeError, /\[2, 4, 0\] has no values to normalise/, 'groupNorm'],
  ['conv2d in groups that do not divide the channels', () => F.conv2d(zeros([1, 4, 3, 3]), zeros([6, 2, 2, 2]), null, { groups: 3 }),
    ShapeError, /4 channels in and 6 out do not form 3 groups.*multiples of groups/, 'convolution'],
  ['indexSelect of two elements of a tensor of rank 0', () => zeros([]).indexSelect(0, ids([0, 0])),
    ShapeError, /a tensor of rank 0 has one element, and the index \[2\] names another number.*Pass an index of one element/, 'indexSelect'],
  ['indexAdd of no elements to a tensor of rank 0', () => zeros([]).indexAdd(0, ids([]), zeros([])),
    ShapeError, /a tensor of rank 0 has one element/, 'indexAdd'],
  ['amax over an axis of no elements, where no result is wanted either', () => zeros([0, 0]).amax(0),
    ShapeError, /no elements to select from/, 'max'],
];

// prettier-ignore
const dtypesAndDevices: Mistake[] = [
  ['matmul of two dtypes', () => zeros([2, 2]).matmul(zeros([2, 2], { dtype: 'float16' })),
    DTypeError, /different dtypes: float32 and float16/, 'matmul', [[2, 2], [2, 2]], ['float32', 'float16']],
  ['linear of two dtypes', () => F.linear(zeros([2, 2]), zeros([2, 2], { dtype: 'float64' })),
    DTypeError, /different dtypes/, 'linear', undefined, ['float32', 'float64']],
  ['softmax of integers', () => ids([1, 2]).softmax(0),
    DTypeError, /must be floating, not int64/, 'softmax', [[2]], ['int64']],
  ['mean of integers', () => ids([1, 2]).mean(),
    DTypeError, /must be floating, not int64/, 'mean', undefined, ['int64']],
  ['where without a bool', () => F.where(zeros([2]), zeros([2]), 1),
    DTypeError, /condition must be bool, not float32/, 'where'],
  ['crossEntropy with float class indices', () => F.crossEntropy(zeros([2, 3]), zeros([2])),
    DTypeError, /class indices are int64 or int32, and the target is float32.*to\('int64'\)/, 'crossEntropy', undefined, ['float32', 'float32']],
  ['crossEntropy of images with float class indices', () => F.crossEntropy(zeros([2, 3, 4]), zeros([2, 4])),
    DTypeError, /class indices are int64 or int32/, 'crossEntropy'],
  ['crossEntropy of one example with a float class index', () => F.crossEntropy(zeros([3]), zeros([])),
    DTypeError, /class indices are int64 or int32/, 'crossEntropy'],
  ['crossEntropy with bool class indices', () => F.crossEntropy(zeros([2, 3]), zeros([2], { dtype: 'bool' })),
    DTypeError, /class indices are int64 or int32, and the target is bool/, 'crossEntropy'],
  ['nllLoss with float class indices', () => F.nllLoss(zeros([2, 3]), zeros([2])),
    DTypeError, /class indices are int64 or int32/, 'nllLoss'],
  ['gather with float indices', () => zeros([3]).gather(0, zeros([2])),
    DTypeError, /indices must be int64 or int32, not float32/, 'gather', undefined, ['float32', 'float32']],
  ['embedding with bool indices', () => F.embedding(ones([2], { dtype: 'bool' }), zeros([3, 4])),
    DTypeError, /not bool/, 'indexSelect'],
  ['crossEntropy with float16 classes', () => F.crossEntropy(ids([1, 2]).reshape(1, 2), ids([0])),
    DTypeError, /must be floating/, 'crossEntropy'],
  ['float result in place on integers', () => ids([1, 2]).exp_(),
    DTypeError, /cannot be written to int64/, 'exp_', [[2]], ['int64']],
  ['adding a float in place to integers', () => ids([1, 2]).add_(0.5),
    DTypeError, /cannot be written to int64/, 'add_', undefined, ['int64']],
  ['bitwiseAnd of floats', () => zeros([2]).bitwiseAnd(zeros([2])),
    DTypeError, /float32|float/, 'bitwiseAnd', [[2], [2]], ['float32', 'float32']],
  ['an unknown dtype', () => zeros([2], { dtype: 'float8' as DType }),
    DTypeError, /there is no dtype 'float8'/, 'zeros'],
  ['conversion to an unknown device', () => zeros([2]).to('tpu' as 'cpu'),
    DeviceError, /there is no device 'tpu'/, 'to', [[2]], ['float32']],
  ['a device that is not there', () => zeros([2], { device: 'cuda:7' }),
    DeviceError, /'cuda:7' is not available: ./, 'zeros'],
  ['add over devices', () => zeros([2]).add(onOtherDevice([2])),
    DeviceError, /different devices: (cpu, cuda:0|cuda:0, cpu)\b/, 'add', [[2], [2]], ['float32', 'float32']],
  ['add_ over devices', () => zeros([2]).add_(onOtherDevice([2])), DeviceError, /different devices/, 'add_'],
  ['matmul over devices', () => zeros([2, 2]).matmul(onOtherDevice([2, 2])),
    DeviceError, /different devices/, 'matmul'],
  ['linear over devices', () => F.linear(zeros([2, 2]), onOtherDevice([2, 2])),
    DeviceError, /different devices/, 'linear'],
  ['where over devices', () => F.where(onOtherDevice([2], 'bool'), zeros([2]), 1),
    DeviceError, /different devices/, 'where'],
  ['cat over devices', () => cat([zeros([2]), onOtherDevice([2])]), DeviceError, /different devices/, 'cat'],
  ['gather over devices', () => zeros([2]).gather(0, onOtherDevice([2], 'int64')),
    DeviceError, /different devices/, 'gather'],
  ['layerNorm over devices', () => F.layerNorm(zeros([2, 3]), [3], onOtherDevice([3])),
    DeviceError, /different devices/, 'layerNorm'],
  ['crossEntropy over devices', () => F.crossEntropy(zeros([2, 3]), onOtherDevice([2], 'int64')),
    DeviceError, /different devices/, 'crossEntropy'],
  ['attention over devices', () => F.scaledDotProductAttention(zeros([1, 1, 2, 2]), onOtherDevice([1, 1, 2, 2]), zeros([1, 1, 2, 2])),
    DeviceError, /different devices/, 'scaledDotProductAttention'],
  ['conv2d over devices', () => F.conv2d(zeros([1, 1, 3, 3]), onOtherDevice([1, 1, 2, 2])),
    DeviceError, /different devices/, 'convolution'],
];

// prettier-ignore
const axes: Mistake[] = [
  ['sum', () => zeros([2, 3]).sum(2), ShapeError, /axis 2 is outside a tensor of 2 axes/, 'sum', [[2, 3]], ['float32']],
  ['sum, negative', () => zeros([2, 3]).sum([0, -3]), ShapeError, /axis -3/, 'sum', [[2, 3]]],
  ['sum, one axis twice', () => zeros([2, 3]).sum([1, -1]), ShapeError, /one axis twice/, 'sum', [[2, 3]]],
  ['softmax', () => zeros([2]).softmax(1), ShapeError, /axis 1/, 'softmax', [[2]]],
  ['softmax, a fraction', () => zeros([2]).softmax(0.5), ShapeError, /axis 0.5/, 'softmax', [[2]]],
  ['argmax', () => zeros([2]).argmax(NaN), ShapeError, /axis NaN/, 'argmax', [[2]]],
  ['cumsum', () => zeros([2]).cumsum(1), ShapeError, /axis 1/, 'cumsum', [[2]]],
  ['transpose', () => zeros([2, 3]).transpose(0, 2), ShapeError, /axis 2/, 'transpose', [[2, 3]]],
  ['permute', () => zeros([2, 3]).permute(0, 0), ShapeError, /not an order of the 2 axes/, 'permute', [[2, 3]]],
  ['unsqueeze', () => zeros([2]).unsqueeze(3), ShapeError, /axis 3/, 'unsqueeze', [[2]]],
  ['squeeze', () => zeros([2]).squeeze(1), ShapeError, /axis 1/, 'squeeze', [[2]]],
  ['flatten', () => zeros([2, 3]).flatten(1, 0), ShapeError, /start axis 1 is behind end axis 0/, 'flatten', [[2, 3]]],
  ['narrow', () => zeros([2]).narrow(1, 0, 1), ShapeError, /axis 1/, 'narrow', [[2]]],
  ['gather', () => zeros([2]).gather(1, ids([0])), ShapeError, /axis 1/, 'gather', [[2], [1]]],
  ['topk of too many', () => zeros([2]).topk(3), ShapeError, /3 best/, 'topk', [[2]], ['float32']],
  ['unbind', () => zeros([2]).unbind(1), ShapeError, /axis 1/, 'unbind', [[2]]],
];

// prettier-ignore
const indices: Mistake[] = [
  ['select', () => zeros([2, 3]).select(1, 3),
    IndexError, /index 3 is outside axis 1 of size 3/, 'select', [[2, 3]], ['float32']],
  ['select, negative', () => zeros([2, 3]).select(0, -3), IndexError, /index -3/, 'select'],
  ['at, too many', () => zeros([2]).at(0, 0), IndexError, /2 indices for a tensor of 1 axes/, 'at', [[2]]],
  ['at, no index', () => zeros([2]).at('1;2'), ArgumentError, /'1;2' is not an index/, 'at', [[2]]],
  ['narrow', () => zeros([4]).narrow(0, 3, 2),
    ShapeError, /2 elements from 3 on are not within axis 0 of size 4/, 'narrow', [[4]]],
];

/** Mistakes that only the device can find: elements of index tensors. */
// prettier-ignore
const indexValues: Mistake[] = [
  ['at with an index tensor', () => zeros([2]).at(ids([0, 5])), IndexError, /5/, 'indexSelect'],
  ['gather', () => zeros([2, 3]).gather(1, ids([0, 3]).reshape(2, 1)),
    IndexError, /3/, 'gather', [[2, 3], [2, 1]], ['float32', 'int64']],
  ['gather, negative', () => zeros([3]).gather(0, ids([-4])), IndexError, /-4/, 'gather'],
  ['indexSelect', () => zeros([3]).indexSelect(0, ids([1, 7])), IndexError, /7/, 'indexSelect', [[3], [2]]],
  ['embedding', () => F.embedding(ids([10]), zeros([10, 2])), IndexError, /10/, 'indexSelect'],
  ['scatterAdd', () => zeros([3]).scatterAdd(0, ids([3]), ones([1])), IndexError, /3/, 'scatterAdd'],
  ['indexAdd', () => zeros([3]).indexAdd(0, ids([5]), ones([1])), IndexError, /5/, 'indexAdd'],
  ['crossEntropy', () => F.crossEntropy(zeros([2, 3]), ids([0, 3])), IndexError, /3/, 'crossEntropy'],
];

// prettier-ignore
const data: Mistake[] = [
  ['ragged arrays', () => tensor([[1, 2], [3]]),
    ShapeError, /ragged nested arrays: 1 where 2 was expected at depth 1/, 'tensor'],
  ['a number among arrays', () => tensor([[1], 2]), ShapeError, /ragged nested arrays: a value where 1/, 'tensor'],
  ['an array among numbers', () => tensor([1, [2]]), ShapeError, /ragged nested arrays/, 'tensor'],
  ['ragged empty arrays', () => tensor([[], [1]]), ShapeError, /ragged nested arrays/, 'tensor'],
  ['text', () => tensor(['1'] as never), ArgumentError, /'1' is neither a number/, 'tensor'],
  ['nothing', () => tensor(undefined as never), ArgumentError, /the argument data is missing/, 'tensor'],
  ['a hole', () => tensor([1, null] as never), ArgumentError, /null is neither a number/, 'tensor'],
  ['Infinity as int64', () => tensor([Infinity], { dtype: 'int64' }),
    DTypeError, /Infinity is not a value of int64/, 'tensor'],
  ['a typed array without a dtype', () => tensor(new Uint16Array(2)),
    DTypeError, /no dtype for a Uint16Array/, 'tensor'],
  ['a size of NaN', () => zeros([2, NaN]), ArgumentError, /size NaN in shape \[2, NaN\]/, 'zeros', [[2, NaN]]],
  ['an infinite size', () => zeros([Infinity]), ArgumentError, /size Infinity/, 'zeros', [[Infinity]]],
  ['a negative size', () => rand([3, -1]), ArgumentError, /size -1/, 'rand', [[3, -1]]],
  ['a fractional size', () => ones([1.5]), ArgumentError, /size 1.5/, 'ones', [[1.5]]],
  ['a number as shape', () => zeros(3 as never), ArgumentError, /shape is 3, which is not an array of sizes/, 'zeros'],
  ['a negative size in reshape', () => zeros([6]).reshape(-2, -3), ArgumentError, /size -2/, 'reshape'],
  ['two unknown sizes', () => zeros([6]).reshape(-1, -1), ArgumentError, /size -1/, 'reshape'],
  ['a negative size in expand', () => zeros([1]).expand(-2), ArgumentError, /size -2/, 'expand'],
  ['NaN classes', () => F.oneHot(ids([0]), NaN),
    ArgumentError, /numClasses NaN is not a whole number above 0/, 'oneHot'],
  ['a negative length', () => zeros([3]).narrow(0, 0, -1), ShapeError, /not within axis 0/, 'narrow'],
  ['a step of 0', () => zeros([3]).slice(0, 0, 3, 0), ArgumentError, /step 0/, 'slice', [[3]]],
  ['a negative kernel', () => F.maxPool2d(zeros([1, 1, 4, 4]), -2),
    ArgumentError, /kernel -2/, 'maxPool2d', [[1, 1, 4, 4]]],
  ['no groups', () => F.conv2d(zeros([1, 1, 4, 4]), zeros([1, 1, 2, 2]), null, { groups: 0 }),
    ArgumentError, /groups 0 is not a whole number from 1/, 'conv2d'],
  ['nine axes', () => zeros([1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ShapeError, /9 axes are more than the 8/, 'zeros', [[1, 1, 1, 1, 1, 1, 1, 1, 1]]],
  ['a ninth axis', () => zeros([1, 1, 1, 1, 1, 1, 1, 1]).unsqueeze(0), ShapeError, /9 axes/, 'unsqueeze'],
  ['nine axes by expanding', () => zeros([1]).expand([1, 1, 1, 1, 1, 1, 1, 1, 1]), ShapeError, /9 axes/, 'expand'],
  ['nine axes by stacking', () => stack([zeros([1, 1, 1, 1, 1, 1, 1, 1])]), ShapeError, /9 axes/, 'stack'],
  ['nested arrays nine deep', () => tensor([[[[[[[[[1]]]]]]]]]), ShapeError, /9 axes/, 'tensor'],
  ['a probability above 1', () => bernoulli(1.5, [2]), ArgumentError, /probability 1.5 is outside/, 'bernoulli'],
  ['an empty range of integers', () => randint(3, 3, [2]),
    ArgumentError, /no whole numbers from 3 to below 3/, 'randint'],
  ['a fractional seed', () => manualSeed(0.5), ArgumentError, /seed 0.5/, 'manualSeed'],
];

const disposed = (shape: number[]): Tensor => {
  const t = zeros(shape);
  t.dispose();
  return t;
};
// prettier-ignore
const after: Mistake[] = [
  ['reading', () => disposed([2]).dataSync(),
    DisposedError, /shape \[2\] was used after it was disposed/, 'data', [[2]], ['float32']],
  ['as first operand', () => disposed([2]).add(1), DisposedError, /disposed/, 'add', [[2]], ['float32']],
  ['as second operand', () => ones([2]).mul(disposed([2])), DisposedError, /disposed/, 'mul'],
  ['matmul', () => ones([2, 2]).matmul(disposed([2, 2])), DisposedError, /disposed/, 'matmul'],
  ['linear', () => F.linear(ones([2, 2]), disposed([2, 2])), DisposedError, /disposed/, 'linear'],
  ['layerNorm', () => F.layerNorm(disposed([2, 2]), [2]), DisposedError, /disposed/, 'layerNorm'],
  ['a view', () => disposed([2, 2]).reshape(4), DisposedError, /disposed/, 'view', [[2, 2]]],
  ['a view made before', () => { const t = zeros([2, 2]); const v = t.select(0, 1); t.dispose(); return v.add(1); },
    DisposedError, /disposed/, 'add'],
  ['a disposed view', () => { const v = zeros([2, 2]).select(0, 1); v.dispose(); return v.add(1); },
    DisposedError, /disposed/, 'add'],
  ['a tensor of an ended scope', () => { let t!: Tensor; tidy(() => void (t = zeros([2]))); return t.add(1); },
    DisposedError, /disposed/, 'add'],
];

// prettier-ignore
const gradients: Mistake[] = [
  ['backward of many numbers', () => leaf([2]).mul(2).backward(),
    AutogradError, /shape \[2\] needs a gradient/, 'backward', [[2]], ['float32']],
  ['backward with a gradient of another shape', () => leaf([2]) .mul(2) .backward(ones([3])),
    ShapeError, /gradient \[3\] must have the shape \[2\]/, 'backward', [[3], [2]]],
  ['backward of what needs no gradient', () => zeros([]).backward(),
    AutogradError, /not computed from anything/, 'backward', [[]]],
  ['backward twice', () => { const y = leaf([2]).square().sum(); y.backward(); y.backward(); },
    AutogradError, /second time/, 'sum'],
  ['a saved tensor that changed', () => { const x = leaf([2]); const y = x.mul(2); const z = y.square().sum(); y.add_(1); z.backward(); },
    AutogradError, /changed in place/, 'square', [[2]], ['float32']],
  ['in place on a leaf', () => leaf([2]).add_(1),
    AutogradError, /leaf that requires a gradient cannot be changed in place/, 'add_', [[2]], ['float32']],
  ['fill_ of a leaf', () => leaf([2]).fill_(1), AutogradError, /leaf/, 'fill_', [[2]]],
  ['copy_ to a leaf', () => leaf([2]).copy_(zeros([2])), AutogradError, /leaf/, 'copy_'],
  ['in place on a view of a leaf', () => leaf([2]).select(0, 0).add_(1),
    AutogradError, /a view of a leaf that requires a gradient cannot be changed in place/, 'add_', [[]]],
  ['set_ of a leaf', () => leaf([2]).set_(0, 1),
    AutogradError, /a view of a leaf that requires a gradient cannot be changed in place/, 'fill_'],
  ['in place on a view that was made inside noGrad', () => noGrad(() => leaf([2]).mul(1).select(0, 0)).add_(leaf([])),
    AutogradError, /made inside noGrad\(\)/, 'add_'],
  ['requiresGrad of integers', () => ids([1]).requiresGrad_(),
    AutogradError, /only floating tensors can require a gradient, not int64/, 'requiresGrad', [[1]], ['int64']],
  ['requiresGrad on creation of integers', () => zeros([1], { dtype: 'bool', requiresGrad: true }),
    AutogradError, /not bool/, 'requiresGrad', undefined, ['bool']],
  ['giving up the gradient of a result', () => leaf([2]).mul(2).requiresGrad_(false),
    AutogradError, /always requires/, 'requiresGrad', [[2]]],
  ['grad of an unused input', () => autograd.grad(leaf([2]).sum(), leaf([2])),
    AutogradError, /do not depend on input 0/, 'autograd.grad'],
  ['grad of an input without gradient', () => autograd.grad(leaf([2]).sum(), zeros([2])),
    AutogradError, /input 0 does not require/, 'autograd.grad', [[2]]],
  ['a hook without gradient', () => zeros([2]).registerHook(() => {}),
    AutogradError, /requires no gradient/, 'registerHook', [[2]]],
];

// prettier-ignore
const models: Mistake[] = [
  ['a state of another model', () => new nn.Linear(2, 2).loadStateDict(new nn.Linear(2, 3).stateDict()),
    CheckpointError, /weight has shape \[3, 2\], the model \[2, 2\]/, 'loadStateDict'],
  ['a state with names missing', () => new nn.Linear(2, 2).loadStateDict(new Map()),
    CheckpointError, /weight is missing; bias is missing/, 'loadStateDict'],
  ['a state with names left over', () => new nn.Linear(2, 2, { bias: false }).loadStateDict(new nn.Linear(2, 2).stateDict()),
    CheckpointError, /bias is not part of the model/, 'loadStateDict'],
  ['an optimizer without parameters', () => new optim.SGD([]), ArgumentError, /no parameters/, 'SGD'],
  ['an optimizer of the result of an op', () => new optim.Adam([leaf([2]).mul(2)]),
    ArgumentError, /must be a leaf/, 'Adam', [[2]]],
  ['a negative learning rate', () => new optim.AdamW([leaf([1])], { lr: -1 }),
    ArgumentError, /lr -1 is not a finite number >= 0\. Leave it out/, 'AdamW'],
  ['a beta of 1', () => new optim.Adam([leaf([1])], { betas: [1, 0.9] }),
    ArgumentError, /betas \[1, 0\.9\] is not a pair of numbers >= 0 and below 1/, 'Adam'],
  ['clipping to NaN', () => nn.clipGradNorm([leaf([1])], NaN), ArgumentError, /maxNorm NaN/, 'clipGradNorm'],
];

function caught(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Two live tensors and a graph, which no mistake may harm. */
function expectAlive(): void {
  tidy(() => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    x.square().sum().backward();
    expect(x.grad!.toArraySync()).toEqual([2, 4, 6]);
  });
}

function expectMistake([, , type, message, op, shapes, dtypes]: Mistake, error: CastorError): void {
  expect(error).toBeInstanceOf(type);
  expect(error.name).toBe(type.name);
  expect(error.message).toMatch(message);
  expect(error.op).toBe(op);
  expect(error.message).toStartWith(`${op}: `);
  expect(error.advice).toBeString();
  expect(error.message).toEndWith(error.advice!);
  // The default advice of ArgumentError is too general to help: every error must have its own.
  expect(error.advice).not.toMatch(/documentation of the function/);
  if (shapes) expect(error.shapes).toEqual(shapes);
  if (dtypes) expect(error.dtypes).toEqual(dtypes);
}

/** Runs a test for each mistake, and checks that nothing else was affected. */
const forEach = (mistakes: readonly Mistake[], run: (mistake: Mistake) => void): void =>
  test.each(mistakes.map(mistake => [mistake[0], mistake] as const))('%s', (_, mistake) => {
    const before = full([4], 7);
    run(mistake);
    expect(before.toArraySync()).toEqual([7, 7, 7, 7]);
    expectAlive();
    before.dispose();
  });

/** Makes the mistake, in a scope that frees intermediate results. */
const make = ([, call]: Mistake): CastorError => tidy(() => ({ caught: caught(call) })).caught as CastorError;

for (const [section, mistakes] of Object.entries({
  shapes,
  dtypesAndDevices,
  axes,
  indices,
  data,
  after,
  gradients,
  models,
})) {
  describe(section, () => forEach(mistakes, mistake => expectMistake(mistake, make(mistake))));
}

describe('values of indices', () => {
  const atOnce = getDefaultDevice() === 'cpu';
  forEach(indexValues, mistake => {
    if (atOnce) return expectMistake(mistake, make(mistake));
    // On other devices the op has been queued, and the next call that waits throws.
    expect(make(mistake)).toBeUndefined();
    const error = caught(synchronize) as CastorError;
    expect(error).toBeInstanceOf(mistake[2]);
    expect(error.message).toMatch(mistake[3]);
    expect(error.message).toMatch(/an earlier \w+/);
    expect(caught(synchronize)).toBeUndefined();
  });
});

describe('asynchronous reads', () => {
  test('of a disposed tensor reject', async () => {
    await expect(disposed([2]).data()).rejects.toBeInstanceOf(DisposedError);
    await expect(disposed([]).item()).rejects.toBeInstanceOf(DisposedError);
    await expect(disposed([2]).toArray()).rejects.toBeInstanceOf(DisposedError);
  });
  test('of many numbers as one reject', async () => {
    using t = zeros([2]);
    await expect(t.item()).rejects.toBeInstanceOf(ShapeError);
  });
});

describe('memory', () => {
  test('an allocation larger than memory, then everything still works', () => {
    const live = full([1000], 3);
    const error = caught(() => zeros([2 ** 46])) as OutOfMemoryError;
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error.message).toMatch(/256.00 TiB/);
    expect(error.wantedBytes).toBe(2 ** 48);
    expect(error.liveBytes).toBeGreaterThanOrEqual(4000);
    expect(error.freeBytes).toBeGreaterThan(0);
    expect(error.op).toBeString();
    expect(error.advice).toMatch(/tidy/);
    expect(live.sum().itemSync()).toBe(3000);
    live.dispose();
    expectAlive();
  });

  test('a result larger than memory', () => {
    tidy(() => {
      const error = caught(() => zeros([2 ** 23, 1]).add(zeros([1, 2 ** 23])));
      expect(error).toBeInstanceOf(OutOfMemoryError);
    });
    expectAlive();
  });

  test('more elements than can be counted', () => {
    const error = caught(() => zeros([2 ** 30, 2 ** 30])) as CastorError;
    expect(error).toBeInstanceOf(CastorError);
    expect(error.op).toBeString();
    expectAlive();
  });

  test('in leak mode the error says where the tensor was disposed', () => {
    memory.setLeakMode(true);
    const t = zeros([2]);
    t.dispose();
    memory.setLeakMode(false);
    const error = caught(() => t.add(1)) as DisposedError;
    expect(error.message).toMatch(/disposed at\n.*errors\.test\.ts/);
  });
});
