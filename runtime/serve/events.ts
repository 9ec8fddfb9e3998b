import { callable, checked, optional, type Spec } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { bindContext } from '../context.ts';
import { described } from './registry.ts';

const encoder = new TextEncoder();
/** An event has a line for each line of a text; the client puts them together again. */
function event(data: unknown): Uint8Array {
  const text = typeof data === 'string' ? data : (JSON.stringify(data) ?? 'null');
  return encoder.encode(
    `${text
      .split(/\r\n|\r|\n/)
      .map(line => `data: ${line}\n`)
      .join('')}\n`,
  );
}
const failed = (error: unknown): Uint8Array =>
  encoder.encode(`event: error\ndata: ${JSON.stringify({ error: described(error).message })}\n\n`);

const asyncIterable: Spec = {
  wanted: 'an async iterable',
  accepts: value => typeof (value as Partial<AsyncIterable<unknown>> | null)?.[Symbol.asyncIterator] === 'function',
  advice: 'Pass a generation, an async generator, or anything else that for await accepts and that is no array',
};

/**
 * Answers a request with server-sent events: one for each value of an async iterable, such as a generation, as JSON or as what `map` makes of
 * it, and `[DONE]` at the end. A string is sent as it is, with a `data:` line for each of its lines. If the values end with an error, or
 * `map` throws, an event named `error` says so. A client that goes away ends the iteration, and so does a `map` that throws, which cancels a
 * generation.
 */
export const eventStream = checked('eventStream', { values: asyncIterable, map: optional(callable) }, doEventStream);
function doEventStream<T>(values: AsyncIterable<T>, map: (value: T) => unknown = value => value): Response {
  const iterator = values[Symbol.asyncIterator]();
  if (typeof iterator?.next !== 'function')
    throw new ArgumentError(`values gave ${shown(iterator)} in place of an iterator`, {
      op: 'eventStream',
      advice: asyncIterable.advice!,
    });
  let gone = false;
  const leave = async (): Promise<void> => void (await iterator.return?.());
  const nextEvent = async (): Promise<Uint8Array | null> => {
    const { done, value } = await iterator.next();
    if (done) return null;
    try {
      return event(map(value));
    } catch (error) {
      // Nobody waits for it: it may take as long as the next value.
      void leave().catch(() => {});
      throw error;
    }
  };
  const stream = new ReadableStream<Uint8Array>({
    pull: bindContext(async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      const [data, ended] = await nextEvent().then(
        bytes => [bytes ?? event('[DONE]'), bytes === null] as const,
        (error: unknown) => [failed(error), true] as const,
      );
      if (gone) return;
      controller.enqueue(data);
      if (ended) controller.close();
    }),
    cancel: bindContext(() => {
      gone = true;
      return leave();
    }),
  });
  return new Response(stream, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' } });
}
