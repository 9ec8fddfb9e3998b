import { callable, checked, checkMethods, having, number, options, required, whole } from '../arguments.ts';
import { ArgumentError, OverloadedError } from '../errors.ts';

/** The options of an admission. */
export interface AdmissionOptions {
  /** How many bytes the requests that run may need together. */
  maxBytes: number;
  /** How many requests may wait. More are refused with OverloadedError. Default: 1024. */
  maxQueue?: number;
}
/** The options of one request. */
export interface AdmissionRequestOptions {
  /** Ends the wait when it aborts; run() then rejects with its reason. A request that runs is not ended. */
  signal?: AbortSignal;
}

interface Waiting {
  readonly bytes: number;
  start(): void;
}

/**
 * Lets requests run as long as the memory that they need together stays below a limit. The others wait in the order in which they came, so
 * that many requests at once need no more memory than few.
 */
export class Admission {
  readonly #maxBytes: number;
  readonly #maxQueue: number;
  #bytes = 0;
  #running = 0;
  readonly #waiting: Waiting[] = [];

  /** @internal Admissions are made by admission(). */
  constructor(maxBytes: number, maxQueue: number) {
    this.#maxBytes = maxBytes;
    this.#maxQueue = maxQueue;
  }

  /**
   * Runs fn when there is room for so many bytes, which it is expected to need until its promise settles, and returns its result. fn runs
   * under the modes of the caller.
   * @throws OverloadedError if too many requests wait, ArgumentError for more bytes than may ever run
   */
  async run<T>(
    bytes: number,
    fn: () => T | PromiseLike<T>,
    { signal }: AdmissionRequestOptions = {},
  ): Promise<Awaited<T>> {
    this.#check(bytes);
    signal?.throwIfAborted();
    await this.#turn(bytes, signal);
    try {
      return await fn();
    } finally {
      this.#bytes -= bytes;
      this.#running--;
      this.#next();
    }
  }

  /** The requests that run and those that wait now. */
  stats(): { running: number; bytes: number; queued: number } {
    return { running: this.#running, bytes: this.#bytes, queued: this.#waiting.length };
  }

  #check(bytes: number): void {
    if (!(bytes >= 0 && bytes <= this.#maxBytes))
      throw new ArgumentError(`a request of ${bytes} bytes never gets its turn: at most ${this.#maxBytes} may run`, {
        op: 'admission.run',
        advice: 'Pass the bytes that the request needs, from 0 to maxBytes',
      });
  }

  /** Resolves when it is the turn of a request. From then on its bytes are counted. */
  #turn(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#count(bytes);
      return Promise.resolve();
    }
    const size = this.#waiting.length;
    if (size >= this.#maxQueue)
      throw new OverloadedError(
        `${size} requests wait, as many as may (maxQueue)`,
        { op: 'admission.run' },
        { waiting: size, limit: this.#maxQueue },
      );
    return new Promise((resolve, reject) => this.#wait(bytes, signal, resolve, reject));
  }

  #wait(bytes: number, signal: AbortSignal | undefined, resolve: () => void, reject: (reason: unknown) => void): void {
    const request: Waiting = {
      bytes,
      start: () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      },
    };
    const leave = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(request), 1);
      reject(signal!.reason);
      // The next one may need less.
      this.#next();
    };
    this.#waiting.push(request);
    signal?.addEventListener('abort', leave, { once: true });
  }

  #fits(bytes: number): boolean {
    return this.#running === 0 || this.#bytes + bytes <= this.#maxBytes;
  }
  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#running++;
  }
  #next(): void {
    while (this.#waiting.length > 0 && this.#fits(this.#waiting[0]!.bytes)) {
      const { bytes, start } = this.#waiting.shift()!;
      this.#count(bytes);
      start();
    }
  }
}

const signal = having('an AbortSignal, such as request.signal', 'addEventListener', 'removeEventListener');
checkMethods(Admission, { run: { bytes: number, fn: callable, options: options({ signal }) }, stats: {} });

/**
 * Makes an admission, which bounds the memory of requests that run at the same time.
 *
 *     const gate = admission({ maxBytes: 60e6 });
 *     const answer = await gate.run(20e6, () => tidy(async () => await model.forward(x).data()), { signal: request.signal });
 */
export const admission = checked(
  'admission',
  { options: required(options({ maxBytes: required(number), maxQueue: whole })) },
  ({ maxBytes, maxQueue = 1024 }: AdmissionOptions): Admission => {
    if (!(maxBytes > 0) || !(maxQueue >= 0))
      throw new ArgumentError(`maxBytes is ${maxBytes} and maxQueue ${maxQueue}`, {
        op: 'admission',
        advice: 'maxBytes is a number above 0, and maxQueue at least 0',
      });
    return new Admission(maxBytes, maxQueue);
  },
);
