import {
  arrayOf,
  boolean,
  either,
  nullable,
  number,
  optional,
  options,
  text,
  whole,
  type Spec,
  type Specs,
} from '../arguments.ts';
import { axes, axis, device, dtype, operand, tensor } from '../tensor/specs.ts';
import { isTensor } from '../tensor/tensor.ts';

/** The arguments that several functions of ops/ take. x is the tensor on which a method is called. */
export const optionalTensor = optional(nullable(tensor));

export const reduction: Specs = { keepdim: boolean, dtype };
export const reduceOptions = options(reduction, { boolean: 'keepdim', string: 'dtype' });
const keepdimOptions = options({ keepdim: boolean }, { boolean: 'keepdim' });
export const reduce: Specs = { x: tensor, axes: optional(axes), options: reduceOptions };
/** The arguments of reductions whose result always has the same dtype. */
export const test: Specs = { x: tensor, axes: optional(axes), options: keepdimOptions };
/** The arguments of functions that return a position along one axis, or among all elements. */
export const position: Specs = { x: tensor, axis: optional(axis), options: keepdimOptions };
export const spread: Specs = {
  x: tensor,
  axes: optional(axes),
  options: {
    ...options({ ...reduction, correction: number }),
    advice: 'Pass { correction: 0 } for what PyTorch calls unbiased = false, and { keepdim: true } to keep the axes',
  },
};
export const pick = (fn: string): Specs => ({
  x: tensor,
  axis: optional({ ...axis, advice: `Pass the number of an axis; of two tensors ${fn}() gives the elements` }),
  options: reduceOptions,
});
export const along: Specs = { x: tensor, axis, options: options({ dtype }, { string: 'dtype' }) };
export const order: Specs = {
  x: tensor,
  axis: optional(axis),
  options: options({ descending: boolean }, { boolean: 'descending' }),
};

/** One number for both axes, or one number for each. */
export const pair = either(number, arrayOf(number, 'two numbers'), 'a number or an array of two');
export const convolution: Specs = { stride: pair, padding: pair, dilation: pair, groups: number };
export const convOptions = options(convolution, { number: 'stride' });
export const pool: Specs = { stride: nullable(pair), padding: pair, dilation: pair };
export const weighted: Specs = { x: tensor, weight: tensor, bias: optionalTensor };
/** The sizes of the last axes, as PyTorch's functions take them. */
export const lastSizes: Spec = {
  ...arrayOf(number, 'an array of sizes'),
  advice: 'Pass the sizes of the last axes as an array, such as [768]',
};
/** The normalised shape of layers: one number means one axis, as in PyTorch. */
export const normalizedShape: Spec = {
  ...either(arrayOf(number, 'sizes'), { ...number, copy: size => [size] }, 'a size or an array of sizes'),
  advice: 'Pass the sizes of the last axes, such as [768]',
};

export const classLoss: Specs = { reduction: text, ignoreIndex: whole, weight: tensor };
export const loss = (fields: Specs): Specs => ({
  x: tensor,
  target: tensor,
  options: options({ reduction: text, ...fields }),
});

const isIndexItem = (item: unknown): boolean =>
  item === null || ['number', 'boolean', 'string'].includes(typeof item) || Array.isArray(item) || isTensor(item);
/** Lists are read at once, so that they need not be copied. */
export const indexItem: Spec = {
  wanted: "a number, a range such as '1:3', '...', null, a list, an index tensor or a mask",
  accepts: isIndexItem,
};
export const ranked = { x: tensor, axis, index: tensor };
export const destination = either(tensor, either(text, options({ dtype, device })), 'a dtype, a device or a tensor');

/** The arguments of functions and methods that a row of the table makes alone. */
export const unary: Specs = { x: tensor };
export const binary: Specs = { a: operand, b: operand };
export const unaryMethod: Specs = {};
export const binaryMethod: Specs = { other: operand };
