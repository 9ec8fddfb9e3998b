/** What the tests use of `bun:test`, on Deno and Node: the runner of runner.ts with the matchers of Jest, after which Bun's are modelled. */
import { createRequire } from 'node:module';
export * from './runner.ts';

type Matchers = Record<string, (...args: unknown[]) => unknown>;
interface Expect {
  (actual: unknown): Matchers & { readonly not: Matchers };
  extend(matchers: object): void;
}
const require = createRequire(import.meta.url);
const jest = (require('expect') as { expect: Expect }).expect;
export const { spyOn } = require('jest-mock') as { spyOn: typeof import('bun:test').spyOn };

interface Outcome {
  readonly pass: boolean;
  readonly message: () => string;
}
const outcome = (pass: boolean, actual: unknown, what: string): Outcome => ({
  pass,
  message: () => `${String(actual)} ${pass ? 'is' : 'is not'} ${what}`,
});
/** The matchers that Bun has beside those of Jest. */
jest.extend({
  toStartWith: (actual: string, start: string) =>
    outcome(actual.startsWith(start), actual, `a text that starts with ${start}`),
  toEndWith: (actual: string, end: string) => outcome(actual.endsWith(end), actual, `a text that ends with ${end}`),
  toBeString: (actual: unknown) => outcome(typeof actual === 'string', actual, 'a text'),
  toBeFunction: (actual: unknown) => outcome(typeof actual === 'function', actual, 'a function'),
});

/** A chain of matchers whose failures begin with a message. */
const told = <T extends object>(chain: T, message: string): T =>
  new Proxy(chain, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member === 'object' && member !== null) return told(member, message);
      return (...args: unknown[]) => {
        try {
          return (member as (...args: unknown[]) => unknown)(...args);
        } catch (error) {
          (error as Error).message = `${message}\n${(error as Error).message}`;
          throw error;
        }
      };
    },
  });
/** Bun's second argument says what is looked at. */
export const expect = Object.assign(
  (actual: unknown, message?: string) => (message === undefined ? jest(actual) : told(jest(actual), message)),
  jest,
);

/** Types are checked by `npm run check`. */
export const expectTypeOf = (): unknown => new Proxy(() => anything, { get: () => anything });
const anything: unknown = new Proxy(() => anything, { get: () => anything });
