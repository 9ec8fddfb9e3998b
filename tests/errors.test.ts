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

/** A mistake, the class it must throw, what the message must say, and what the error must know. */
interface Mistake {
  readonly name: string;
  readonly call: () => unknown;
  readonly error: new (...args: never[]) => CastorError;
  readonly message: RegExp;
  readonly op: string;
  readonly shapes?: number[][];
  readonly dtypes?: DType[];
}

const ids = (values: number[]): Tensor => tensor(values, { dtype: 'int64' });
const leaf = (shape: number[]): Tensor => ones(shape, { requiresGrad: true });

/** The same memory, said to be on the GPU, or on the CPU: enough for every check that comes before the call into the native library. */
function onOtherDevice(shape: number[], dtype: DType = 'float32'): Tensor {
  const t = zeros(shape, { dtype });
  return new TensorClass(new Storage(t.storage.handle, 0, 1 - t.storage.device), t.shape, t.strides, 0, t.info, t);
}

const shapes: Mistake[] = [
  {
    name: 'add',
    call: () => zeros([2, 3]).add(zeros([4])),
    error: ShapeError,
    message: /\[2, 3\] and \[4\] do not broadcast/,
    op: 'add',
    shapes: [[2, 3], [4]],
    dtypes: ['float32', 'float32'],
  },
  {
    name: 'lt',
    call: () => zeros([2]).lt(zeros([3])),
    error: ShapeError,
    message: /do not broadcast/,
    op: 'lt',
    shapes: [[2], [3]],
    dtypes: ['float32', 'float32'],
  },
  {
    name: 'where',
    call: () => F.where(ones([3], { dtype: 'bool' }), zeros([2]), 0),
    error: ShapeError,
    message: /do not broadcast/,
    op: 'where',
  },
  {
    name: 'add_',
    call: () => zeros([3]).add_(zeros([2, 3])),
    error: ShapeError,
    message: /\[2, 3\] does not broadcast to \[3\]/,
    op: 'add_',
    shapes: [[3], [2, 3]],
  },
  {
    name: 'writing to repeated memory',
    call: () => zeros([3]).expand(2, 3).add_(1),
    error: ShapeError,
    message: /stride 0 on axis 0/,
    op: 'add_',
    shapes: [[2, 3]],
  },
  {
    name: 'copy_',
    call: () => zeros([3]).copy_(zeros([2])),
    error: ShapeError,
    message: /do not broadcast/,
    op: 'copy_',
    shapes: [[3], [2]],
  },
  {
    name: 'expand',
    call: () => zeros([2, 3]).expand(4, 3),
    error: ShapeError,
    message: /broadcast|expand/,
    op: 'expand',
    shapes: [
      [2, 3],
      [4, 3],
    ],
  },
  {
    name: 'matmul',
    call: () => zeros([2, 3]).matmul(zeros([4, 5])),
    error: ShapeError,
    message: /inner sizes 3 and 4 differ/,
    op: 'matmul',
    shapes: [
      [2, 3],
      [4, 5],
    ],
    dtypes: ['float32', 'float32'],
  },
  {
    name: 'matmul of batches',
    call: () => zeros([2, 3, 4]).matmul(zeros([5, 4, 3])),
    error: ShapeError,
    message: /do not broadcast/,
    op: 'matmul',
  },
  {
    name: 'matmul of a number',
    call: () => zeros([]).matmul(zeros([2, 2])),
    error: ShapeError,
    message: /rank 0 has no product/,
    op: 'matmul',
    shapes: [[], [2, 2]],
  },
  {
    name: 'linear',
    call: () => F.linear(zeros([2, 3]), zeros([5, 4])),
    error: ShapeError,
    message: /\[2, 3\] and weight \[5, 4\] do not fit/,
    op: 'linear',
    shapes: [
      [2, 3],
      [5, 4],
    ],
  },
  {
    name: 'linear with a wrong bias',
    call: () => F.linear(zeros([2, 3]), zeros([5, 3]), zeros([4])),
    error: ShapeError,
    message: /bias \[4\] must have shape \[5\]/,
    op: 'linear',
  },
  {
    name: 'conv2d',
    call: () => F.conv2d(zeros([1, 3, 8, 8]), zeros([4, 2, 3, 3])),
    error: ShapeError,
    message: /channels do not fit/,
    op: 'convolution',
  },
  {
    name: 'conv2d of a large kernel',
    call: () => F.conv2d(zeros([1, 1, 2, 2]), zeros([1, 1, 3, 3])),
    error: ShapeError,
    message: /larger than the padded input/,
    op: 'convolution',
  },
  {
    name: 'maxPool2d',
    call: () => F.maxPool2d(zeros([1, 1, 2, 2]), 3),
    error: ShapeError,
    message: /do not fit \[1, 1, 2, 2\]/,
    op: 'maxPool2d',
    shapes: [[1, 1, 2, 2]],
  },
  {
    name: 'attention',
    call: () => F.scaledDotProductAttention(zeros([1, 2, 4, 8]), zeros([1, 2, 4, 6]), zeros([1, 2, 4, 8])),
    error: ShapeError,
    message: /query .* key .* do not fit/,
    op: 'scaledDotProductAttention',
  },
  {
    name: 'layerNorm',
    call: () => F.layerNorm(zeros([2, 3]), [4]),
    error: ShapeError,
    message: /does not end in the normalised shape \[4\]/,
    op: 'layerNorm',
    shapes: [[2, 3]],
  },
  {
    name: 'crossEntropy',
    call: () => F.crossEntropy(zeros([2, 3]), ids([0, 1, 2])),
    error: ShapeError,
    message: /class indices of shape \[2\], not \[3\]/,
    op: 'crossEntropy',
    shapes: [[2, 3], [3]],
    dtypes: ['float32', 'int64'],
  },
  {
    name: 'mseLoss',
    call: () => F.mseLoss(zeros([2]), zeros([2, 1])),
    error: ShapeError,
    message: /must have one shape/,
    op: 'mseLoss',
    shapes: [[2], [2, 1]],
  },
  {
    name: 'cat',
    call: () => cat([zeros([2, 3]), zeros([2, 4])]),
    error: ShapeError,
    message: /differ outside axis 0/,
    op: 'cat',
    shapes: [
      [2, 3],
      [2, 4],
    ],
  },
  { name: 'stack', call: () => stack([zeros([2]), zeros([3])]), error: ShapeError, message: /differ/, op: 'stack' },
  {
    name: 'reshape',
    call: () => zeros([2, 3]).reshape(4, 2),
    error: ShapeError,
    message: /6 elements cannot become \[4, 2\]/,
    op: 'reshape',
    shapes: [
      [2, 3],
      [4, 2],
    ],
  },
  {
    name: 'view of a transpose',
    call: () => zeros([2, 3]).T.view(6),
    error: ShapeError,
    message: /has no view/,
    op: 'view',
    shapes: [[3, 2], [6]],
  },
  {
    name: 'split',
    call: () => zeros([5]).split([2, 2]),
    error: ShapeError,
    message: /do not fill axis 0 of size 5/,
    op: 'split',
    shapes: [[5]],
  },
  {
    name: 'gather',
    call: () => zeros([2, 3]).gather(1, ids([0])),
    error: ShapeError,
    message: /as many axes/,
    op: 'gather',
    shapes: [[2, 3], [1]],
  },
  {
    name: 'item',
    call: () => zeros([2]).itemSync(),
    error: ShapeError,
    message: /\[2\] is not one number/,
    op: 'item',
    shapes: [[2]],
  },
  {
    name: 'batchNorm with a weight of another size',
    call: () => F.batchNorm(zeros([2, 3, 4]), { weight: zeros([4]), training: true }),
    error: ShapeError,
    message: /one value for each of 3 channels/,
    op: 'batchNorm',
  },
  {
    name: 'batchNorm of one value',
    call: () => new nn.BatchNorm2d(3).forward(zeros([1, 3, 1, 1])),
    error: ShapeError,
    message: /one value alone has no variance/,
    op: 'batchNorm',
  },
  {
    name: 'batchNorm without channels',
    call: () => F.batchNorm(zeros([2, 0, 3]), { training: true }),
    error: ShapeError,
    message: /\[2, 0, 3\] has no channels, which are axis 1/,
    op: 'batchNorm',
  },
  {
    name: 'groupNorm of one value a group',
    call: () => F.groupNorm(zeros([1, 2]), 2),
    error: ShapeError,
    message: /one value alone has no variance/,
    op: 'groupNorm',
  },
  {
    name: 'groupNorm of nothing in a channel',
    call: () => F.groupNorm(zeros([2, 4, 0]), 2),
    error: ShapeError,
    message: /\[2, 4, 0\] has no values to normalise/,
    op: 'groupNorm',
  },
  {
    name: 'conv2d in groups that do not divide the channels',
    call: () => F.conv2d(zeros([1, 4, 3, 3]), zeros([6, 2, 2, 2]), null, { groups: 3 }),
    error: ShapeError,
    message: /4 channels in and 6 out do not form 3 groups.*multiples of groups/,
    op: 'convolution',
  },
  {
    name: 'indexSelect of two elements of a tensor of rank 0',
    call: () => zeros([]).indexSelect(0, ids([0, 0])),
    error: ShapeError,
    message:
      /a tensor of rank 0 has one element, and the index \[2\] names another number.*Pass an index of one element/,
    op: 'indexSelect',
  },
  {
    name: 'indexAdd of no elements to a tensor of rank 0',
    call: () => zeros([]).indexAdd(0, ids([]), zeros([])),
    error: ShapeError,
    message: /a tensor of rank 0 has one element/,
    op: 'indexAdd',
  },
  {
    name: 'amax over an axis of no elements, where no result is wanted either',
    call: () => zeros([0, 0]).amax(0),
    error: ShapeError,
    message: /no elements to pick from/,
    op: 'max',
  },
];

const dtypesAndDevices: Mistake[] = [
  {
    name: 'matmul of two dtypes',
    call: () => zeros([2, 2]).matmul(zeros([2, 2], { dtype: 'float16' })),
    error: DTypeError,
    message: /different dtypes: float32 and float16/,
    op: 'matmul',
    shapes: [
      [2, 2],
      [2, 2],
    ],
    dtypes: ['float32', 'float16'],
  },
  {
    name: 'linear of two dtypes',
    call: () => F.linear(zeros([2, 2]), zeros([2, 2], { dtype: 'float64' })),
    error: DTypeError,
    message: /different dtypes/,
    op: 'linear',
    dtypes: ['float32', 'float64'],
  },
  {
    name: 'softmax of integers',
    call: () => ids([1, 2]).softmax(0),
    error: DTypeError,
    message: /must be floating, not int64/,
    op: 'softmax',
    shapes: [[2]],
    dtypes: ['int64'],
  },
  {
    name: 'mean of integers',
    call: () => ids([1, 2]).mean(),
    error: DTypeError,
    message: /must be floating, not int64/,
    op: 'mean',
    dtypes: ['int64'],
  },
  {
    name: 'where without a bool',
    call: () => F.where(zeros([2]), zeros([2]), 1),
    error: DTypeError,
    message: /condition must be bool, not float32/,
    op: 'where',
  },
  {
    name: 'crossEntropy with float class indices',
    call: () => F.crossEntropy(zeros([2, 3]), zeros([2])),
    error: DTypeError,
    message: /class indices are int64 or int32, and the target is float32.*to\('int64'\)/,
    op: 'crossEntropy',
    dtypes: ['float32', 'float32'],
  },
  {
    name: 'crossEntropy of images with float class indices',
    call: () => F.crossEntropy(zeros([2, 3, 4]), zeros([2, 4])),
    error: DTypeError,
    message: /class indices are int64 or int32/,
    op: 'crossEntropy',
  },
  {
    name: 'crossEntropy of one example with a float class index',
    call: () => F.crossEntropy(zeros([3]), zeros([])),
    error: DTypeError,
    message: /class indices are int64 or int32/,
    op: 'crossEntropy',
  },
  {
    name: 'crossEntropy with bool class indices',
    call: () => F.crossEntropy(zeros([2, 3]), zeros([2], { dtype: 'bool' })),
    error: DTypeError,
    message: /class indices are int64 or int32, and the target is bool/,
    op: 'crossEntropy',
  },
  {
    name: 'nllLoss with float class indices',
    call: () => F.nllLoss(zeros([2, 3]), zeros([2])),
    error: DTypeError,
    message: /class indices are int64 or int32/,
    op: 'nllLoss',
  },
  {
    name: 'gather with float indices',
    call: () => zeros([3]).gather(0, zeros([2])),
    error: DTypeError,
    message: /indices must be int64 or int32, not float32/,
    op: 'gather',
    dtypes: ['float32', 'float32'],
  },
  {
    name: 'embedding with bool indices',
    call: () => F.embedding(ones([2], { dtype: 'bool' }), zeros([3, 4])),
    error: DTypeError,
    message: /not bool/,
    op: 'indexSelect',
  },
  {
    name: 'crossEntropy with float16 classes',
    call: () => F.crossEntropy(ids([1, 2]).reshape(1, 2), ids([0])),
    error: DTypeError,
    message: /must be floating/,
    op: 'crossEntropy',
  },
  {
    name: 'float result in place on integers',
    call: () => ids([1, 2]).exp_(),
    error: DTypeError,
    message: /cannot be written to int64/,
    op: 'exp_',
    shapes: [[2]],
    dtypes: ['int64'],
  },
  {
    name: 'adding a float in place to integers',
    call: () => ids([1, 2]).add_(0.5),
    error: DTypeError,
    message: /cannot be written to int64/,
    op: 'add_',
    dtypes: ['int64'],
  },
  {
    name: 'bitwiseAnd of floats',
    call: () => zeros([2]).bitwiseAnd(zeros([2])),
    error: DTypeError,
    message: /float32|float/,
    op: 'bitwiseAnd',
    shapes: [[2], [2]],
    dtypes: ['float32', 'float32'],
  },
  {
    name: 'an unknown dtype',
    call: () => zeros([2], { dtype: 'float8' as DType }),
    error: DTypeError,
    message: /there is no dtype 'float8'/,
    op: 'zeros',
  },
  {
    name: 'conversion to an unknown device',
    call: () => zeros([2]).to('tpu' as 'cpu'),
    error: DeviceError,
    message: /there is no device 'tpu'/,
    op: 'to',
    shapes: [[2]],
    dtypes: ['float32'],
  },
  {
    name: 'a device that is not there',
    call: () => zeros([2], { device: 'cuda:7' }),
    error: DeviceError,
    message: /'cuda:7' is not available: ./,
    op: 'zeros',
  },
  {
    name: 'add over devices',
    call: () => zeros([2]).add(onOtherDevice([2])),
    error: DeviceError,
    message: /different devices: (cpu, cuda:0|cuda:0, cpu)\b/,
    op: 'add',
    shapes: [[2], [2]],
    dtypes: ['float32', 'float32'],
  },
  {
    name: 'add_ over devices',
    call: () => zeros([2]).add_(onOtherDevice([2])),
    error: DeviceError,
    message: /different devices/,
    op: 'add_',
  },
  {
    name: 'matmul over devices',
    call: () => zeros([2, 2]).matmul(onOtherDevice([2, 2])),
    error: DeviceError,
    message: /different devices/,
    op: 'matmul',
  },
  {
    name: 'linear over devices',
    call: () => F.linear(zeros([2, 2]), onOtherDevice([2, 2])),
    error: DeviceError,
    message: /different devices/,
    op: 'linear',
  },
  {
    name: 'where over devices',
    call: () => F.where(onOtherDevice([2], 'bool'), zeros([2]), 1),
    error: DeviceError,
    message: /different devices/,
    op: 'where',
  },
  {
    name: 'cat over devices',
    call: () => cat([zeros([2]), onOtherDevice([2])]),
    error: DeviceError,
    message: /different devices/,
    op: 'cat',
  },
  {
    name: 'gather over devices',
    call: () => zeros([2]).gather(0, onOtherDevice([2], 'int64')),
    error: DeviceError,
    message: /different devices/,
    op: 'gather',
  },
  {
    name: 'layerNorm over devices',
    call: () => F.layerNorm(zeros([2, 3]), [3], onOtherDevice([3])),
    error: DeviceError,
    message: /different devices/,
    op: 'layerNorm',
  },
  {
    name: 'crossEntropy over devices',
    call: () => F.crossEntropy(zeros([2, 3]), onOtherDevice([2], 'int64')),
    error: DeviceError,
    message: /different devices/,
    op: 'crossEntropy',
  },
  {
    name: 'attention over devices',
    call: () => F.scaledDotProductAttention(zeros([1, 1, 2, 2]), onOtherDevice([1, 1, 2, 2]), zeros([1, 1, 2, 2])),
    error: DeviceError,
    message: /different devices/,
    op: 'scaledDotProductAttention',
  },
  {
    name: 'conv2d over devices',
    call: () => F.conv2d(zeros([1, 1, 3, 3]), onOtherDevice([1, 1, 2, 2])),
    error: DeviceError,
    message: /different devices/,
    op: 'convolution',
  },
];

const axes: Mistake[] = [
  {
    name: 'sum',
    call: () => zeros([2, 3]).sum(2),
    error: ShapeError,
    message: /axis 2 is outside a tensor of 2 axes/,
    op: 'sum',
    shapes: [[2, 3]],
    dtypes: ['float32'],
  },
  {
    name: 'sum, negative',
    call: () => zeros([2, 3]).sum([0, -3]),
    error: ShapeError,
    message: /axis -3/,
    op: 'sum',
    shapes: [[2, 3]],
  },
  {
    name: 'sum, one axis twice',
    call: () => zeros([2, 3]).sum([1, -1]),
    error: ShapeError,
    message: /one axis twice/,
    op: 'sum',
    shapes: [[2, 3]],
  },
  {
    name: 'softmax',
    call: () => zeros([2]).softmax(1),
    error: ShapeError,
    message: /axis 1/,
    op: 'softmax',
    shapes: [[2]],
  },
  {
    name: 'softmax, a fraction',
    call: () => zeros([2]).softmax(0.5),
    error: ShapeError,
    message: /axis 0.5/,
    op: 'softmax',
    shapes: [[2]],
  },
  {
    name: 'argmax',
    call: () => zeros([2]).argmax(NaN),
    error: ShapeError,
    message: /axis NaN/,
    op: 'argmax',
    shapes: [[2]],
  },
  { name: 'max', call: () => zeros([2]).max(3), error: ShapeError, message: /axis 3/, op: 'argmax', shapes: [[2]] },
  {
    name: 'cumsum',
    call: () => zeros([2]).cumsum(1),
    error: ShapeError,
    message: /axis 1/,
    op: 'cumsum',
    shapes: [[2]],
  },
  {
    name: 'transpose',
    call: () => zeros([2, 3]).transpose(0, 2),
    error: ShapeError,
    message: /axis 2/,
    op: 'transpose',
    shapes: [[2, 3]],
  },
  {
    name: 'permute',
    call: () => zeros([2, 3]).permute(0, 0),
    error: ShapeError,
    message: /no order of the 2 axes/,
    op: 'permute',
    shapes: [[2, 3]],
  },
  {
    name: 'unsqueeze',
    call: () => zeros([2]).unsqueeze(3),
    error: ShapeError,
    message: /axis 3/,
    op: 'unsqueeze',
    shapes: [[2]],
  },
  {
    name: 'squeeze',
    call: () => zeros([2]).squeeze(1),
    error: ShapeError,
    message: /axis 1/,
    op: 'squeeze',
    shapes: [[2]],
  },
  {
    name: 'flatten',
    call: () => zeros([2, 3]).flatten(1, 0),
    error: ShapeError,
    message: /start axis 1 is behind end axis 0/,
    op: 'flatten',
    shapes: [[2, 3]],
  },
  {
    name: 'narrow',
    call: () => zeros([2]).narrow(1, 0, 1),
    error: ShapeError,
    message: /axis 1/,
    op: 'narrow',
    shapes: [[2]],
  },
  { name: 'cat', call: () => cat([zeros([2])], 1), error: ShapeError, message: /axis 1/, op: 'cat', shapes: [[2]] },
  {
    name: 'gather',
    call: () => zeros([2]).gather(1, ids([0])),
    error: ShapeError,
    message: /axis 1/,
    op: 'gather',
    shapes: [[2], [1]],
  },
  { name: 'topk', call: () => zeros([2]).topk(1, 2), error: ShapeError, message: /axis 2/, op: 'topk', shapes: [[2]] },
  {
    name: 'topk of too many',
    call: () => zeros([2]).topk(3),
    error: ShapeError,
    message: /3 best/,
    op: 'topk',
    shapes: [[2]],
    dtypes: ['float32'],
  },
  { name: 'flip', call: () => zeros([2]).flip(1), error: ShapeError, message: /axis 1/, op: 'flip', shapes: [[2]] },
  {
    name: 'unbind',
    call: () => zeros([2]).unbind(1),
    error: ShapeError,
    message: /axis 1/,
    op: 'unbind',
    shapes: [[2]],
  },
];

const indices: Mistake[] = [
  {
    name: 'select',
    call: () => zeros([2, 3]).select(1, 3),
    error: IndexError,
    message: /index 3 is outside axis 1 of size 3/,
    op: 'select',
    shapes: [[2, 3]],
    dtypes: ['float32'],
  },
  {
    name: 'select, negative',
    call: () => zeros([2, 3]).select(0, -3),
    error: IndexError,
    message: /index -3/,
    op: 'select',
  },
  { name: 'at', call: () => zeros([2]).at(2), error: IndexError, message: /index 2/, op: 'select' },
  {
    name: 'at, too many',
    call: () => zeros([2]).at(0, 0),
    error: IndexError,
    message: /2 indices for a tensor of 1 axes/,
    op: 'at',
    shapes: [[2]],
  },
  {
    name: 'at, no index',
    call: () => zeros([2]).at('1;2'),
    error: ArgumentError,
    message: /'1;2' is no index/,
    op: 'at',
    shapes: [[2]],
  },
  {
    name: 'narrow',
    call: () => zeros([4]).narrow(0, 3, 2),
    error: ShapeError,
    message: /2 elements from 3 on are not within axis 0 of size 4/,
    op: 'narrow',
    shapes: [[4]],
  },
];

/** What only the device sees: elements of index tensors. */
const indexValues: Mistake[] = [
  {
    name: 'at with an index tensor',
    call: () => zeros([2]).at(ids([0, 5])),
    error: IndexError,
    message: /5/,
    op: 'indexSelect',
  },
  {
    name: 'gather',
    call: () => zeros([2, 3]).gather(1, ids([0, 3]).reshape(2, 1)),
    error: IndexError,
    message: /3/,
    op: 'gather',
    shapes: [
      [2, 3],
      [2, 1],
    ],
    dtypes: ['float32', 'int64'],
  },
  {
    name: 'gather, negative',
    call: () => zeros([3]).gather(0, ids([-4])),
    error: IndexError,
    message: /-4/,
    op: 'gather',
  },
  {
    name: 'indexSelect',
    call: () => zeros([3]).indexSelect(0, ids([1, 7])),
    error: IndexError,
    message: /7/,
    op: 'indexSelect',
    shapes: [[3], [2]],
  },
  {
    name: 'embedding',
    call: () => F.embedding(ids([10]), zeros([10, 2])),
    error: IndexError,
    message: /10/,
    op: 'indexSelect',
  },
  {
    name: 'scatterAdd',
    call: () => zeros([3]).scatterAdd(0, ids([3]), ones([1])),
    error: IndexError,
    message: /3/,
    op: 'scatterAdd',
  },
  { name: 'scatter', call: () => zeros([3]).scatter(0, ids([4]), 1), error: IndexError, message: /4/, op: 'scatter' },
  {
    name: 'indexAdd',
    call: () => zeros([3]).indexAdd(0, ids([5]), ones([1])),
    error: IndexError,
    message: /5/,
    op: 'indexAdd',
  },
  { name: 'oneHot', call: () => F.oneHot(ids([2]), 2), error: IndexError, message: /2/, op: 'scatter' },
  {
    name: 'crossEntropy',
    call: () => F.crossEntropy(zeros([2, 3]), ids([0, 3])),
    error: IndexError,
    message: /3/,
    op: 'crossEntropy',
  },
  { name: 'nllLoss', call: () => F.nllLoss(zeros([2, 3]), ids([0, 9])), error: IndexError, message: /9/, op: 'gather' },
];

const data: Mistake[] = [
  {
    name: 'ragged arrays',
    call: () => tensor([[1, 2], [3]]),
    error: ShapeError,
    message: /ragged nested arrays: 1 where 2 was expected at depth 1/,
    op: 'tensor',
  },
  {
    name: 'a number among arrays',
    call: () => tensor([[1], 2]),
    error: ShapeError,
    message: /ragged nested arrays: a value where 1/,
    op: 'tensor',
  },
  {
    name: 'an array among numbers',
    call: () => tensor([1, [2]]),
    error: ShapeError,
    message: /ragged nested arrays/,
    op: 'tensor',
  },
  {
    name: 'ragged empty arrays',
    call: () => tensor([[], [1]]),
    error: ShapeError,
    message: /ragged nested arrays/,
    op: 'tensor',
  },
  {
    name: 'text',
    call: () => tensor(['1'] as never),
    error: ArgumentError,
    message: /'1' is neither a number/,
    op: 'tensor',
  },
  {
    name: 'nothing',
    call: () => tensor(undefined as never),
    error: ArgumentError,
    message: /the argument data is missing/,
    op: 'tensor',
  },
  {
    name: 'a hole',
    call: () => tensor([1, null] as never),
    error: ArgumentError,
    message: /null is neither a number/,
    op: 'tensor',
  },
  {
    name: 'Infinity as int64',
    call: () => tensor([Infinity], { dtype: 'int64' }),
    error: DTypeError,
    message: /Infinity is no value of int64/,
    op: 'tensor',
  },
  {
    name: 'a typed array without a dtype',
    call: () => tensor(new Uint16Array(2)),
    error: DTypeError,
    message: /no dtype for a Uint16Array/,
    op: 'tensor',
  },
  {
    name: 'a size of NaN',
    call: () => zeros([2, NaN]),
    error: ArgumentError,
    message: /size NaN in shape \[2, NaN\]/,
    op: 'zeros',
    shapes: [[2, NaN]],
  },
  {
    name: 'an infinite size',
    call: () => zeros([Infinity]),
    error: ArgumentError,
    message: /size Infinity/,
    op: 'zeros',
    shapes: [[Infinity]],
  },
  {
    name: 'a negative size',
    call: () => rand([3, -1]),
    error: ArgumentError,
    message: /size -1/,
    op: 'rand',
    shapes: [[3, -1]],
  },
  {
    name: 'a fractional size',
    call: () => ones([1.5]),
    error: ArgumentError,
    message: /size 1.5/,
    op: 'ones',
    shapes: [[1.5]],
  },
  {
    name: 'a number as shape',
    call: () => zeros(3 as never),
    error: ArgumentError,
    message: /shape is 3, which is not an array of sizes/,
    op: 'zeros',
  },
  {
    name: 'a negative size in reshape',
    call: () => zeros([6]).reshape(-2, -3),
    error: ArgumentError,
    message: /size -2/,
    op: 'reshape',
  },
  {
    name: 'two unknown sizes',
    call: () => zeros([6]).reshape(-1, -1),
    error: ArgumentError,
    message: /size -1/,
    op: 'reshape',
  },
  {
    name: 'a negative size in expand',
    call: () => zeros([1]).expand(-2),
    error: ArgumentError,
    message: /size -2/,
    op: 'expand',
  },
  {
    name: 'NaN classes',
    call: () => F.oneHot(ids([0]), NaN),
    error: ArgumentError,
    message: /numClasses NaN is not a whole number above 0/,
    op: 'oneHot',
  },
  {
    name: 'a negative length',
    call: () => zeros([3]).narrow(0, 0, -1),
    error: ShapeError,
    message: /not within axis 0/,
    op: 'narrow',
  },
  {
    name: 'a step of 0',
    call: () => zeros([3]).slice(0, 0, 3, 0),
    error: ArgumentError,
    message: /step 0/,
    op: 'slice',
    shapes: [[3]],
  },
  {
    name: 'a negative kernel',
    call: () => F.maxPool2d(zeros([1, 1, 4, 4]), -2),
    error: ArgumentError,
    message: /kernel -2/,
    op: 'maxPool2d',
    shapes: [[1, 1, 4, 4]],
  },
  {
    name: 'no groups',
    call: () => F.conv2d(zeros([1, 1, 4, 4]), zeros([1, 1, 2, 2]), null, { groups: 0 }),
    error: ArgumentError,
    message: /groups 0 is not a whole number from 1/,
    op: 'conv2d',
  },
  {
    name: 'nine axes',
    call: () => zeros([1, 1, 1, 1, 1, 1, 1, 1, 1]),
    error: ShapeError,
    message: /9 axes are more than the 8/,
    op: 'zeros',
    shapes: [[1, 1, 1, 1, 1, 1, 1, 1, 1]],
  },
  {
    name: 'a ninth axis',
    call: () => zeros([1, 1, 1, 1, 1, 1, 1, 1]).unsqueeze(0),
    error: ShapeError,
    message: /9 axes/,
    op: 'unsqueeze',
  },
  {
    name: 'nine axes by expanding',
    call: () => zeros([1]).expand([1, 1, 1, 1, 1, 1, 1, 1, 1]),
    error: ShapeError,
    message: /9 axes/,
    op: 'expand',
  },
  {
    name: 'nine axes by stacking',
    call: () => stack([zeros([1, 1, 1, 1, 1, 1, 1, 1])]),
    error: ShapeError,
    message: /9 axes/,
    op: 'stack',
  },
  {
    name: 'nested arrays nine deep',
    call: () => tensor([[[[[[[[[1]]]]]]]]]),
    error: ShapeError,
    message: /9 axes/,
    op: 'tensor',
  },
  {
    name: 'a probability above 1',
    call: () => bernoulli(1.5, [2]),
    error: ArgumentError,
    message: /probability 1.5 is outside/,
    op: 'bernoulli',
  },
  {
    name: 'an empty range of integers',
    call: () => randint(3, 3, [2]),
    error: ArgumentError,
    message: /no whole numbers from 3 to below 3/,
    op: 'randint',
  },
  {
    name: 'a fractional seed',
    call: () => manualSeed(0.5),
    error: ArgumentError,
    message: /seed 0.5/,
    op: 'manualSeed',
  },
  { name: 'nothing to join', call: () => cat([]), error: ArgumentError, message: /nothing to join/, op: 'cat' },
];

const disposed = (shape: number[]): Tensor => {
  const t = zeros(shape);
  t.dispose();
  return t;
};
const after: Mistake[] = [
  {
    name: 'reading',
    call: () => disposed([2]).dataSync(),
    error: DisposedError,
    message: /shape \[2\] was used after it was disposed/,
    op: 'data',
    shapes: [[2]],
    dtypes: ['float32'],
  },
  { name: 'item', call: () => disposed([]).itemSync(), error: DisposedError, message: /disposed/, op: 'data' },
  {
    name: 'as first operand',
    call: () => disposed([2]).add(1),
    error: DisposedError,
    message: /disposed/,
    op: 'add',
    shapes: [[2]],
    dtypes: ['float32'],
  },
  {
    name: 'as second operand',
    call: () => ones([2]).mul(disposed([2])),
    error: DisposedError,
    message: /disposed/,
    op: 'mul',
  },
  { name: 'in place', call: () => disposed([2]).add_(1), error: DisposedError, message: /disposed/, op: 'add_' },
  {
    name: 'matmul',
    call: () => ones([2, 2]).matmul(disposed([2, 2])),
    error: DisposedError,
    message: /disposed/,
    op: 'matmul',
  },
  { name: 'sum', call: () => disposed([2]).sum(), error: DisposedError, message: /disposed/, op: 'sum' },
  { name: 'cat', call: () => cat([ones([2]), disposed([2])]), error: DisposedError, message: /disposed/, op: 'cat' },
  { name: 'to', call: () => disposed([2]).to('float16'), error: DisposedError, message: /disposed/, op: 'to' },
  { name: 'clone', call: () => disposed([2]).clone(), error: DisposedError, message: /disposed/, op: 'copy' },
  {
    name: 'linear',
    call: () => F.linear(ones([2, 2]), disposed([2, 2])),
    error: DisposedError,
    message: /disposed/,
    op: 'linear',
  },
  {
    name: 'layerNorm',
    call: () => F.layerNorm(disposed([2, 2]), [2]),
    error: DisposedError,
    message: /disposed/,
    op: 'layerNorm',
  },
  {
    name: 'a view',
    call: () => disposed([2, 2]).reshape(4),
    error: DisposedError,
    message: /disposed/,
    op: 'view',
    shapes: [[2, 2]],
  },
  {
    name: 'a view made before',
    call: () => {
      const t = zeros([2, 2]);
      const v = t.select(0, 1);
      t.dispose();
      return v.add(1);
    },
    error: DisposedError,
    message: /disposed/,
    op: 'add',
  },
  {
    name: 'a disposed view',
    call: () => {
      const v = zeros([2, 2]).select(0, 1);
      v.dispose();
      return v.add(1);
    },
    error: DisposedError,
    message: /disposed/,
    op: 'add',
  },
  {
    name: 'a tensor of an ended scope',
    call: () => {
      let t!: Tensor;
      tidy(() => void (t = zeros([2])));
      return t.add(1);
    },
    error: DisposedError,
    message: /disposed/,
    op: 'add',
  },
];

const gradients: Mistake[] = [
  {
    name: 'backward of many numbers',
    call: () => leaf([2]).mul(2).backward(),
    error: AutogradError,
    message: /shape \[2\] needs a gradient/,
    op: 'backward',
    shapes: [[2]],
    dtypes: ['float32'],
  },
  {
    name: 'backward with a gradient of another shape',
    call: () =>
      leaf([2])
        .mul(2)
        .backward(ones([3])),
    error: ShapeError,
    message: /gradient \[3\] must have the shape \[2\]/,
    op: 'backward',
    shapes: [[3], [2]],
  },
  {
    name: 'backward of what needs no gradient',
    call: () => zeros([]).backward(),
    error: AutogradError,
    message: /not computed from anything/,
    op: 'backward',
    shapes: [[]],
  },
  {
    name: 'backward twice',
    call: () => {
      const y = leaf([2]).square().sum();
      y.backward();
      y.backward();
    },
    error: AutogradError,
    message: /second time/,
    op: 'sum',
  },
  {
    name: 'a saved tensor that changed',
    call: () => {
      const x = leaf([2]);
      const y = x.mul(2);
      const z = y.square().sum();
      y.add_(1);
      z.backward();
    },
    error: AutogradError,
    message: /changed in place/,
    op: 'square',
    shapes: [[2]],
    dtypes: ['float32'],
  },
  {
    name: 'in place on a leaf',
    call: () => leaf([2]).add_(1),
    error: AutogradError,
    message: /leaf that requires a gradient cannot be changed in place/,
    op: 'add_',
    shapes: [[2]],
    dtypes: ['float32'],
  },
  {
    name: 'fill_ of a leaf',
    call: () => leaf([2]).fill_(1),
    error: AutogradError,
    message: /leaf/,
    op: 'fill_',
    shapes: [[2]],
  },
  {
    name: 'copy_ to a leaf',
    call: () => leaf([2]).copy_(zeros([2])),
    error: AutogradError,
    message: /leaf/,
    op: 'copy_',
  },
  { name: 'normal_ of a leaf', call: () => leaf([2]).normal_(), error: AutogradError, message: /leaf/, op: 'normal_' },
  {
    name: 'in place on a view of a leaf',
    call: () => leaf([2]).select(0, 0).add_(1),
    error: AutogradError,
    message: /a view of a leaf that requires a gradient cannot be changed in place/,
    op: 'add_',
    shapes: [[]],
  },
  {
    name: 'set_ of a leaf',
    call: () => leaf([2]).set_(0, 1),
    error: AutogradError,
    message: /a view of a leaf that requires a gradient cannot be changed in place/,
    op: 'fill_',
  },
  {
    name: 'in place on a view that was made inside noGrad',
    call: () => noGrad(() => leaf([2]).mul(1).select(0, 0)).add_(leaf([])),
    error: AutogradError,
    message: /made inside noGrad\(\)/,
    op: 'add_',
  },
  {
    name: 'requiresGrad of integers',
    call: () => ids([1]).requiresGrad_(),
    error: AutogradError,
    message: /only floating tensors can require a gradient, not int64/,
    op: 'requiresGrad',
    shapes: [[1]],
    dtypes: ['int64'],
  },
  {
    name: 'requiresGrad on creation of integers',
    call: () => zeros([1], { dtype: 'bool', requiresGrad: true }),
    error: AutogradError,
    message: /not bool/,
    op: 'requiresGrad',
    dtypes: ['bool'],
  },
  {
    name: 'giving up the gradient of a result',
    call: () => leaf([2]).mul(2).requiresGrad_(false),
    error: AutogradError,
    message: /always requires/,
    op: 'requiresGrad',
    shapes: [[2]],
  },
  {
    name: 'grad of an unused input',
    call: () => autograd.grad(leaf([2]).sum(), leaf([2])),
    error: AutogradError,
    message: /do not depend on input 0/,
    op: 'autograd.grad',
  },
  {
    name: 'grad of an input without gradient',
    call: () => autograd.grad(leaf([2]).sum(), zeros([2])),
    error: AutogradError,
    message: /input 0 does not require/,
    op: 'autograd.grad',
    shapes: [[2]],
  },
  {
    name: 'a hook without gradient',
    call: () => zeros([2]).registerHook(() => {}),
    error: AutogradError,
    message: /requires no gradient/,
    op: 'registerHook',
    shapes: [[2]],
  },
];

const models: Mistake[] = [
  {
    name: 'a state of another model',
    call: () => new nn.Linear(2, 2).loadStateDict(new nn.Linear(2, 3).stateDict()),
    error: CheckpointError,
    message: /weight has shape \[3, 2\], the model \[2, 2\]/,
    op: 'loadStateDict',
  },
  {
    name: 'a state with names missing',
    call: () => new nn.Linear(2, 2).loadStateDict(new Map()),
    error: CheckpointError,
    message: /weight is missing; bias is missing/,
    op: 'loadStateDict',
  },
  {
    name: 'a state with names left over',
    call: () => new nn.Linear(2, 2, { bias: false }).loadStateDict(new nn.Linear(2, 2).stateDict()),
    error: CheckpointError,
    message: /bias is not part of the model/,
    op: 'loadStateDict',
  },
  {
    name: 'an optimizer without parameters',
    call: () => new optim.SGD([]),
    error: ArgumentError,
    message: /no parameters/,
    op: 'SGD',
  },
  {
    name: 'an optimizer of the result of an op',
    call: () => new optim.Adam([leaf([2]).mul(2)]),
    error: ArgumentError,
    message: /must be a leaf/,
    op: 'Adam',
    shapes: [[2]],
  },
  {
    name: 'a negative learning rate',
    call: () => new optim.AdamW([leaf([1])], { lr: -1 }),
    error: ArgumentError,
    message: /lr -1 makes no sense\. It is a finite number >= 0/,
    op: 'AdamW',
  },
  {
    name: 'a beta of 1',
    call: () => new optim.Adam([leaf([1])], { betas: [1, 0.9] }),
    error: ArgumentError,
    message: /betas \[1, 0\.9\] makes no sense/,
    op: 'Adam',
  },
  {
    name: 'clipping to NaN',
    call: () => nn.clipGradNorm([leaf([1])], NaN),
    error: ArgumentError,
    message: /maxNorm NaN/,
    op: 'clipGradNorm',
  },
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

function expectMistake(mistake: Mistake, error: CastorError): void {
  expect(error).toBeInstanceOf(mistake.error);
  expect(error.name).toBe(mistake.error.name);
  expect(error.message).toMatch(mistake.message);
  expect(error.op).toBe(mistake.op);
  expect(error.message).toStartWith(`${mistake.op}: `);
  expect(error.advice).toBeString();
  expect(error.message).toEndWith(error.advice!);
  // The default advice of ArgumentError helps nobody: every error must have its own.
  expect(error.advice).not.toMatch(/description of the function/);
  if (mistake.shapes) expect(error.shapes).toEqual(mistake.shapes);
  if (mistake.dtypes) expect(error.dtypes).toEqual(mistake.dtypes);
}

/** Runs a test of each mistake and looks whether it did harm. */
const forEach = (mistakes: readonly Mistake[], run: (mistake: Mistake) => void): void =>
  test.each(mistakes.map(mistake => [mistake.name, mistake] as const))('%s', (_, mistake) => {
    const before = full([4], 7);
    run(mistake);
    expect(before.toArraySync()).toEqual([7, 7, 7, 7]);
    expectAlive();
    before.dispose();
  });

/** Making the mistake, in a scope that frees what is made on the way. */
const make = (mistake: Mistake): CastorError => tidy(() => ({ caught: caught(mistake.call) })).caught as CastorError;

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
    // Elsewhere the op has been queued, and the next call that waits throws.
    expect(make(mistake)).toBeUndefined();
    const error = caught(synchronize) as CastorError;
    expect(error).toBeInstanceOf(mistake.error);
    expect(error.message).toMatch(mistake.message);
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
