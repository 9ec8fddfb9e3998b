/**
 * Loads a server from a process of its own, because it would otherwise share the thread of the server: `bun load.ts URL OPTIONS`. Each
 * connection sends its next request when it has the answer to the one before. Prints what came of it as JSON.
 */
import type { Socket } from 'bun';
import { FEATURES } from './model.ts';

/** The requests that a run of the load generator sends. */
export interface Load {
  readonly connections: number;
  /** The number of requests in all, those that are aborted too. */
  readonly requests: number;
  /** Requests before the times count. */
  readonly warm: number;
  /** The path that is asked for. '/infer' is sent a row, others nothing. */
  readonly path?: string;
  /** Ends after these milliseconds, if there are still requests to send. */
  readonly milliseconds?: number;
  /** Each of that many requests is aborted: its connection is closed as soon as it was sent. 0: none. */
  readonly abortEvery: number;
}
/** The result of a run of the load generator. Times are in milliseconds. */
export interface LoadResult {
  readonly answered: number;
  readonly aborted: number;
  readonly failed: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

interface Connection {
  sent: number;
  rest: Uint8Array | null;
}

const [address, given] = process.argv.slice(2) as [string, string];
const url = new URL(address);
const load = JSON.parse(given) as Load;
const { connections, warm, abortEvery, path = '/infer', milliseconds } = load;
let { requests } = load;
if (milliseconds !== undefined) setTimeout(() => (requests = 0), milliseconds);
const body = new Uint8Array(Float32Array.from({ length: FEATURES }, (_, i) => Math.sin(i)).buffer);
const message =
  path === '/infer'
    ? Buffer.concat([
        Buffer.from(`POST /infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n`),
        body,
      ])
    : Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
const expected = 40;

const times: number[] = [];
let [sent, answered, aborted, failed, start] = [0, 0, 0, 0, performance.now()];
let open = 0;
const done = Promise.withResolvers<void>();

function write(socket: Socket<Connection>, bytes: Uint8Array): void {
  const count = socket.write(bytes);
  socket.data.rest = count < bytes.length ? bytes.subarray(count) : null;
}
function send(socket: Socket<Connection>): void {
  if (sent >= requests) return void socket.end();
  sent++;
  if (sent === warm) start = performance.now();
  socket.data.sent = performance.now();
  write(socket, message);
  if (abortEvery === 0 || sent % abortEvery !== 0) return;
  aborted++;
  socket.terminate();
}
/** An answer arrives in one piece: it has less than 2000 bytes. */
function receive(socket: Socket<Connection>, data: Buffer): void {
  if (data.subarray(0, 12).toString('latin1') === 'HTTP/1.1 200' && data.length > expected) answered++;
  else failed++;
  if (sent >= warm) times.push(performance.now() - socket.data.sent);
  send(socket);
}
const connectOne = (): void => {
  open++;
  void Bun.connect<Connection>({
    hostname: url.hostname,
    port: Number(url.port),
    data: { sent: 0, rest: null },
    socket: {
      open: send,
      data: receive,
      drain: socket => {
        if (socket.data.rest !== null) write(socket, socket.data.rest);
      },
      close: () => {
        open--;
        if (sent < requests) connectOne();
        else if (open === 0) done.resolve();
      },
      connectError: () => done.reject(new Error(`no connection to ${address}`)),
    },
  });
};
for (let i = 0; i < connections; i++) connectOne();
await done.promise;
const seconds = (performance.now() - start) / 1000;
times.sort((a, b) => a - b);
const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? NaN;
const result: LoadResult = {
  answered,
  aborted,
  failed,
  perSecond: times.length / seconds,
  p50: at(0.5),
  p99: at(0.99),
};
console.log(JSON.stringify(result));
