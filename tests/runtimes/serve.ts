/** Bun.serve(), on Deno.serve() and on node:http, for tests of what a server does to the async context of its requests. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';

interface Handler {
  fetch(request: Request): Response | Promise<Response>;
}
interface Server {
  readonly url: URL;
  stop(): Promise<void>;
  [Symbol.dispose](): void;
}
interface DenoServer {
  readonly addr: { readonly port: number };
  shutdown(): Promise<void>;
}
declare const Deno: {
  serve(options: { port: number; onListen: () => void }, handler: Handler['fetch']): DenoServer;
};

const serverAt = (port: number, stop: () => Promise<void>): Server => ({
  url: new URL(`http://localhost:${port}/`),
  stop,
  [Symbol.dispose]: () => void stop(),
});

function denoServer(handler: Handler): Server {
  const server = Deno.serve({ port: 0, onListen: () => {} }, request => handler.fetch(request));
  return serverAt(server.addr.port, () => server.shutdown());
}

async function reply(handler: Handler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const { method = 'GET', url, headers } = incoming;
  const body = method === 'GET' || method === 'HEAD' ? null : (Readable.toWeb(incoming) as ReadableStream);
  const init = { method, headers: headers as Record<string, string>, body, duplex: 'half' };
  const response = await handler.fetch(new Request(`http://${headers.host}${url}`, init as RequestInit));
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  for await (const chunk of response.body ?? []) outgoing.write(chunk);
  outgoing.end();
}
function nodeServer(handler: Handler): Server {
  const server = createServer((incoming, outgoing) => void reply(handler, incoming, outgoing)).listen(0);
  const { port } = server.address() as AddressInfo;
  return serverAt(port, () => new Promise(resolve => server.close(() => resolve())));
}

export const serve = 'deno' in process.versions ? denoServer : nodeServer;
