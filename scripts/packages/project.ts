/** Projects of users: empty folders with caches of their own, on a PATH without compilers. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { programs } from './registry.ts';

export interface Ended {
  readonly code: number;
  /** What was printed on both streams. */
  readonly text: string;
  readonly seconds: number;
}

export interface User {
  readonly folder: string;
  /** Makes an empty project with these files. */
  project(name: string, files?: Readonly<Record<string, string>>): Project;
  remove(): void;
}

export interface Project {
  readonly folder: string;
  write(files: Readonly<Record<string, string>>): void;
  /** Runs a command in the project, or another folder, and waits for its end. */
  run(command: readonly string[], variables?: Readonly<Record<string, string>>, folder?: string): Promise<Ended>;
}

/** The programs that a user has, by name. There is no cc, no cmake, no python. `node` is that of this machine. */
function userPrograms(): Record<string, string> {
  const found = (name: string): [string, string][] => {
    const path = Bun.which(name);
    return path ? [[name, realpathSync(path)]] : [];
  };
  return {
    ...Object.fromEntries(['node', 'npm', 'npx', 'sh', 'env', 'ls', 'cat', 'uname', 'getconf', 'ldd'].flatMap(found)),
    bun: process.execPath,
    pnpm: realpathSync(programs.pnpm),
    deno: programs.deno,
    node26: programs.node,
  };
}

function writeAll(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

const LIMIT = 120_000;

/** A user who installs from a registry. */
export function newUser(registry: string): User {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'castor-user-')));
  for (const name of ['bin', 'tmp', 'home']) mkdirSync(join(folder, name));
  for (const [name, path] of Object.entries(userPrograms())) symlinkSync(path, join(folder, 'bin', name));
  const env = {
    PATH: join(folder, 'bin'),
    HOME: join(folder, 'home'),
    TMPDIR: join(folder, 'tmp'),
    BUN_INSTALL_CACHE_DIR: join(folder, 'home/bun-cache'),
    npm_config_cache: join(folder, 'home/npm-cache'),
    npm_config_update_notifier: 'false',
    npm_config_registry: registry,
    NPM_CONFIG_REGISTRY: registry,
    DENO_DIR: join(folder, 'home/deno'),
    DENO_NO_UPDATE_CHECK: '1',
    CI: '1',
    NO_COLOR: '1',
  };
  return {
    folder,
    project(name, files = {}) {
      const place = join(folder, name);
      mkdirSync(place);
      const write = (more: Readonly<Record<string, string>>): void => writeAll(place, more);
      write({ 'package.json': '{ "type": "module" }\n', '.npmrc': `registry=${registry}\n`, ...files });
      return {
        folder: place,
        write,
        run: (command, variables = {}, at = place) => runIn(at, command, { ...env, ...variables }),
      };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function runIn(folder: string, command: readonly string[], env: Record<string, string>): Promise<Ended> {
  const started = performance.now();
  const child = Bun.spawn([join(env.PATH!, command[0]!), ...command.slice(1)], {
    ...{ cwd: folder, env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', timeout: LIMIT },
  });
  const texts = [new Response(child.stdout).text(), new Response(child.stderr).text()];
  const [out, err, code] = await Promise.all([...texts, child.exited] as [
    Promise<string>,
    Promise<string>,
    Promise<number>,
  ]);
  return { code, text: out + err, seconds: (performance.now() - started) / 1000 };
}
