import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** abi/castor.h without its comments. */
export const header = readFileSync(resolve(import.meta.dirname, '../abi/castor.h'), 'utf8').replace(
  /\/\*[\s\S]*?\*\//g,
  '',
);

export interface Argument {
  /** In the spelling of C: int32_t, castor_address, const double * ... */
  readonly type: string;
  readonly name: string;
}
const argumentOf = (text: string): Argument => {
  const [, type, name] = /^(.*?)(\w+)$/.exec(text.trim())!;
  return { type: type!.trim(), name: name! };
};

/** The functions that the header declares, in its order. */
export const declared = [...header.matchAll(/CASTOR_API\s+([^;(]+?)(\w+)\(([^)]*)\);/g)].map(
  ([, returns, name, args]) => ({
    name: name!,
    returns: returns!.trim(),
    args: args!.trim() === 'void' ? [] : args!.split(',').map(argumentOf),
  }),
);
