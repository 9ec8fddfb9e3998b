import { asUser } from '../context.ts';
import { ArgumentError } from '../errors.ts';
import { didYouMean, shown } from '../shown.ts';

/** The codes of Castor's warnings. */
const codes = [
  'CASTOR_FLOAT16_UNSCALED',
  'CASTOR_GRADIENT_WRITTEN',
  'CASTOR_NOTHING_COLLECTED',
  'CASTOR_NOT_CAPTURED',
  'CASTOR_SCALED_GRADIENT_CLIPPED',
  'CASTOR_SCALED_GRADIENT_READ',
] as const;
/** The code of a warning, by which it can be switched off. */
export type WarningCode = (typeof codes)[number];

const off = new Set<WarningCode>();

/** Emits a CastorWarning of the process, unless its code is switched off. */
export function warn(code: WarningCode, text: string): void {
  if (!off.has(code)) asUser(() => process.emitWarning(text, { type: 'CastorWarning', code }));
}

function known(op: string, given: readonly unknown[]): readonly WarningCode[] {
  for (const code of given)
    if (!codes.includes(code as WarningCode))
      throw new ArgumentError(`there is no warning ${shown(code)}`, {
        op,
        advice: `${typeof code === 'string' ? didYouMean(code, codes) : ''}The codes are ${codes.join(', ')}`,
      });
  return given.length === 0 ? codes : (given as readonly WarningCode[]);
}

/** Switches Castor's warnings off and on by their codes, for the whole process. */
export const warnings = {
  /** Switches warnings off by their codes; without a code, all of them. */
  disable: (...given: WarningCode[]): void => known('warnings.disable', given).forEach(code => off.add(code)),
  /** Switches warnings on again by their codes; without a code, all of them. */
  enable: (...given: WarningCode[]): void => known('warnings.enable', given).forEach(code => off.delete(code)),
};
