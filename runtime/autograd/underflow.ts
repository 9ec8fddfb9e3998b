import { float16 } from '../tensor/dtype.ts';
import type { Node } from './node.ts';

/** Was a loss scaled, or the warning given? Either is enough for the life of the process. */
let settled = false;
export function noteScaledLoss(): void {
  settled = true;
}

/** Warns, once, when gradients flow back through float16 and no GradScaler ever scaled a loss: small ones vanish without a trace. */
export function warnUnscaled(nodes: readonly Node[]): void {
  if (settled || !nodes.some(node => node.info === float16)) return;
  settled = true;
  process.emitWarning(
    'gradients flow back through float16 and no loss was scaled: those below 6e-8 become 0. Use a GradScaler, or bfloat16',
    { type: 'CastorWarning', code: 'CASTOR_FLOAT16_UNSCALED' },
  );
}
