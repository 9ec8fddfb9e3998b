import { arrayOf, boolean, either, instanceOf, number, options, text, type Spec, type Specs } from '../arguments.ts';
import { DeviceError, DTypeError } from '../errors.ts';
import { dtypeNames } from './dtype.ts';
import { Generator } from './generator.ts';
import { isTensor } from './tensor.ts';

/** The kinds of arguments of the tensor functions. The range of an axis or a size is checked later, when the shape is known. */
export const tensor: Spec = { wanted: 'a tensor', accepts: isTensor };
export const operand: Spec = {
  wanted: 'a tensor or a number',
  accepts: value => typeof value === 'number' || isTensor(value),
};
export const tensors = arrayOf(tensor, 'an array of tensors');
export const tensorOrTensors = either(tensor, tensors);

export const axis: Spec = { ...number, advice: 'Pass the number of an axis; negative ones count from the last' };
const list = arrayOf(number, 'an array of axes');
export const axes: Spec = {
  ...either(number, list, 'an axis or an array of axes'),
  advice: 'Pass the number of an axis, or an array of them',
};
export const shape: Spec = {
  ...arrayOf(number, 'an array of sizes'),
  advice: 'Pass an array of sizes, such as [2, 3]; [] is the shape of one number',
};
/** Makes the kind of an argument for sizes, which are given as one array or one by one. Both arrive as an array. */
export const sizes = (what: string): Spec => ({
  ...either(number, arrayOf(number, what), `${what} or one number each`),
  rest: 'one array',
});

export const dtype: Spec = {
  ...text,
  wanted: 'the name of a dtype',
  error: DTypeError,
  advice: `Use one of ${dtypeNames.join(', ')}`,
};
export const device: Spec = {
  ...text,
  wanted: 'the name of a device',
  error: DeviceError,
  advice: "Use 'cpu', 'cuda' or 'cuda:1'",
};
export const generator = instanceOf('a Generator', () => Generator);

/** The options of creation functions. */
export const creation: Specs = { dtype, device, requiresGrad: boolean };
export const creationOptions = options(creation, { string: 'dtype' });
export const randomOptions = options({ ...creation, generator }, { string: 'dtype' });
