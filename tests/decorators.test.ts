/** Decorators have a file of their own, because Node has none and could not read the tests beside them. */
import { describe, expect } from 'bun:test';
import { autocast, autocastDtype } from 'castor';
import { tidyTest as it } from './setup.ts';

describe('autocast.method', () => {
  it('runs a method under its policy, with this and the arguments', () => {
    class Net {
      #scale = 3;
      @autocast.method({ dtype: 'float16' })
      forward(a: number): unknown[] {
        return [this.#scale * a, autocastDtype()];
      }
    }
    expect(new Net().forward(2)).toEqual([6, 'float16']);
    expect(autocastDtype()).toBeNull();
  });
});
