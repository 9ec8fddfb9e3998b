import { any, callable, checked, optional } from '../arguments.ts';
import { bindContext } from '../context.ts';

const encoder = new TextEncoder();
const event = (data: unknown): Uint8Array =>
  encoder.encode(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
const failed = (error: unknown): Uint8Array =>
  encoder.encode(
    `event: error\ndata: ${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n\n`,
  );

/**
 * Answers a request with server-sent events: one for each value of an async iterable, such as a generation, as JSON or as what `map` makes of
 * it, and `[DONE]` at the end. If the values end with an error, an event named `error` says so. A client that goes away ends the iteration,
 * which cancels a generation.
 */
export const eventStream = checked('eventStream', { values: any, map: optional(callable) }, doEventStream);
function doEventStream<T>(values: AsyncIterable<T>, map: (value: T) => unknown = value => value): Response {
  const iterator = values[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>({
    pull: bindContext(async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      try {
        const { done, value } = await iterator.next();
        controller.enqueue(done ? event('[DONE]') : event(map(value)));
        if (done) controller.close();
      } catch (error) {
        controller.enqueue(failed(error));
        controller.close();
      }
    }),
    cancel: bindContext(async () => void (await iterator.return?.())),
  });
  return new Response(stream, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' } });
}
