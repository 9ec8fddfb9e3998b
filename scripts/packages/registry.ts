/** A registry on this machine that knows only what is published to it: Verdaccio without any other registry behind it. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../native.ts';

/** The folder with pnpm and the registry, and that with the runtimes. Each has a lock file of its own. */
export const tools = join(root, 'scripts/packages');
const runtimes = join(root, 'tests/runtimes');

/** A program of these packages. */
export const programs = {
  verdaccio: join(tools, 'node_modules/.bin/verdaccio'),
  pnpm: join(tools, 'node_modules/.bin/pnpm'),
  deno: join(runtimes, `node_modules/@deno/linux-${process.arch}-glibc/deno`),
  node: join(runtimes, `node_modules/node-linux-${process.arch}/bin/node`),
};

/** Installs what a folder needs, if that was not done since its lock file changed. Install scripts are not needed. */
function installIn(folder: string): void {
  const done = join(folder, 'node_modules/.package-lock.json');
  const lock = join(folder, 'package-lock.json');
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return;
  const command = ['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { exitCode } = Bun.spawnSync(command, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
  if (exitCode !== 0) throw new Error(`npm ci failed in ${folder}`);
}
export const installTools = (): void => [tools, runtimes].forEach(installIn);

/** A port that was free a moment ago. */
const freePort = (): Promise<number> =>
  new Promise((found, failed) => {
    const server = createServer().once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => found(port));
    });
  });

const settings = (folder: string): string => `storage: ${folder}/storage
auth: { htpasswd: { file: ${folder}/htpasswd } }
uplinks: {}
packages:
  '**': { access: $all, publish: $all, unpublish: $all }
max_body_size: 2000mb
log: { type: stdout, format: pretty, level: error }
`;

export interface Registry {
  readonly url: string;
  publish(tarball: string): void;
  stop(): Promise<void>;
}

/** The settings with which npm publishes to a registry that asks for no password, but for a token. */
export function publishTo(url: string, folder: string, tarball: string): void {
  const command = [
    'npm',
    'publish',
    tarball,
    '--registry',
    url,
    `--${url.replace('http:', '')}:_authToken=any`,
    '--access',
    'public',
  ];
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: folder, stdout: 'ignore', stderr: 'pipe' });
  if (exitCode !== 0) throw new Error(`npm publish failed\n${stderr.toString()}`);
}

async function answers(url: string): Promise<boolean> {
  return fetch(`${url}-/ping`).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** Starts a registry. It ends with this process at the latest. */
export async function startRegistry(): Promise<Registry> {
  const folder = mkdtempSync(join(tmpdir(), 'castor-registry-'));
  writeFileSync(join(folder, 'config.yaml'), settings(folder));
  const url = `http://127.0.0.1:${await freePort()}/`;
  const command = [programs.verdaccio, '-c', join(folder, 'config.yaml'), '-l', url];
  const server = Bun.spawn(command, { cwd: folder, stdout: 'inherit', stderr: 'ignore' });
  process.once('exit', () => server.kill());
  const end = performance.now() + 60_000;
  while (!(await answers(url))) {
    if (server.exitCode !== null || performance.now() > end) throw new Error('the registry does not start');
    await Bun.sleep(50);
  }
  return {
    url,
    publish: tarball => publishTo(url, folder, tarball),
    async stop() {
      server.kill();
      await server.exited;
      rmSync(folder, { recursive: true });
    },
  };
}
