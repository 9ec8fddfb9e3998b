import { beyond } from './beyond.ts';
import type { Case } from './case.ts';
import { ops } from './ops.ts';
import { scaler } from './scaler.ts';
import { scopes } from './scopes.ts';

/** The cases of PyTorch's own tests of mixed precision, and the places where it is to be done better. */
export const cases: readonly Case[] = [...ops, ...scopes, ...scaler, ...beyond];
