/** `castor/nn`. Castor is loaded as a whole, because the methods of tensors are attached when it is. */
import '../index.ts';

export * from '../nn/index.ts';
