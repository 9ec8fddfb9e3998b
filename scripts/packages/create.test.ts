/** `bun create castor` makes a project whose tests pass and whose types check. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Project, User } from './project.ts';
import { publishTo } from './registry.ts';
import { root, url, user, VERSION } from './setup.ts';

/** The types of Bun, which the template's editors need, come from the modules of this checkout. */
function publishTypes({ folder }: User): void {
  const names = ['@types/node/node_modules/undici-types', 'undici-types', '@types/node', 'bun-types'];
  for (const from of names.map(name => join(root, 'node_modules', name)).filter(path => existsSync(path))) {
    const { exitCode, stdout } = Bun.spawnSync(['npm', 'pack', '--ignore-scripts', '--silent', from], { cwd: folder });
    expect(exitCode).toBe(0);
    publishTo(url, folder, stdout.toString().trim());
  }
}

let developer: User;
let place: Project;
let made: Project;
beforeAll(async () => {
  developer = user();
  publishTypes(developer);
  place = developer.project('place');
});

describe('bun create castor', () => {
  test('makes a project', async () => {
    const { code, text } = await place.run(['bun', 'create', 'castor', 'My Model']);
    expect([code, text]).toEqual([0, expect.stringContaining('bun test')]);
    const folder = join(place.folder, 'My Model');
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>;
    expect(manifest).toMatchObject({ name: 'my-model', dependencies: { castor: `^${VERSION}` } });
    expect(readFileSync(join(folder, '.gitignore'), 'utf8')).toContain('node_modules/');
    expect(existsSync(join(folder, 'gitignore'))).toBe(false);
    const variables = { npm_config_registry: url };
    made = { ...place, folder, run: (command, more = {}) => place.run(command, { ...variables, ...more }, folder) };
    const installed = await made.run(['bun', 'install']);
    expect([installed.code, installed.text]).toEqual([0, expect.any(String)]);
  });
  test('its tests pass', async () => {
    const { code, text } = await made.run(['bun', 'test']);
    expect([code, text]).toEqual([0, expect.stringContaining(' 0 fail')]);
  });
  test('its types check', async () => {
    const { code, text } = await made.run(['bun', 'run', 'check']);
    expect([code, text]).toEqual([0, expect.stringContaining('No type errors')]);
  });
  test('it trains, and the server answers with what was learnt, compiled too', async () => {
    const trained = await made.run(['bun', 'run', 'train']);
    expect([trained.code, trained.text]).toEqual([0, expect.stringContaining('% of new points are right')]);
    expect((await made.run(['bun', 'build', '--compile', '--outfile', 'server', 'server.ts'])).code).toBe(0);
    const child = Bun.spawn([join(made.folder, 'server')], {
      cwd: made.folder,
      env: { PORT: '0' },
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const { value } = await child.stdout.getReader().read();
    const address = /serving at (\S+)/.exec(new TextDecoder().decode(value))![1]!;
    const reply = await fetch(`${address}classify`, { method: 'POST', body: '[0.3, -0.2]' });
    expect(await reply.json()).toMatchObject({ arm: expect.any(Number) });
    child.kill('SIGTERM');
    expect(await child.exited).toBe(0);
  });
});

describe('it refuses', () => {
  test.each([
    ['a folder with files', ['place'], 'is not empty: it has '],
    ['a file', ['place/package.json'], 'is a file; name a folder'],
    ['two folders', ['a', 'b'], 'b is one argument too many'],
    ['an option', ['--force'], '--force is one argument too many'],
  ])('%s', async (_, args, message) => {
    const full = args.map(arg => (arg.startsWith('place') ? join(developer.folder, arg) : arg));
    const { code, text } = await place.run(['bun', 'x', 'create-castor', ...full]);
    expect([code, text]).toEqual([1, expect.stringContaining(message)]);
  });
  test('nothing where no folder is named: it takes a default, and npm runs it too', async () => {
    const { code, text } = await developer.project('npm').run(['npm', 'create', '--yes', 'castor']);
    expect([code, text]).toEqual([0, expect.stringContaining('cd castor-project')]);
  });
});
