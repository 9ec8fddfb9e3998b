/**
 * Prints, as JSON, the instruction set that runs and a digest of results that are the same bit for bit on every instruction
 * set, from every compiler and on every platform.
 */
import { createHash } from 'node:crypto';
import { arange, deviceInfo, manualSeed, nn, ones, rand, randint, randn, zeros, type Tensor } from 'castor';

manualSeed(5);
const results: Readonly<Record<string, () => Tensor>> = {
  arange: () => arange(0, 777.7, 0.1),
  rand: () => rand([100003]),
  randn: () => randn([100003]),
  'randn of float16': () => randn([1003], { dtype: 'float16' }),
  'randn of bfloat16': () => randn([1003], { dtype: 'bfloat16' }),
  'rand of float64': () => rand([1003], { dtype: 'float64' }),
  randint: () => randint(-5, 1e9, [1003]),
  normal: () => zeros([1003]).normal_(0.3, 0.7),
  uniform: () => zeros([1003]).uniform_(0.3, 0.7),
  dropout: () => nn.functional.dropout(ones([1003]), 0.3),
};
const hash = createHash('sha256');
for (const result of Object.values(results)) hash.update(new Uint8Array((await result().data()).buffer));
console.log(JSON.stringify({ isa: deviceInfo('cpu').isa, bits: hash.digest('hex').slice(0, 16) }));
