/** `castor/io`. Castor is loaded as a whole, because the methods of tensors are attached when it is. */
import '../index.ts';

export * from '../io/index.ts';
