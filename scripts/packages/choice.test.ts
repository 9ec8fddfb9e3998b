/** The package managers choose by the fields of the platform packages, also for other platforms than this one. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { currentPlatform, PLATFORMS } from '../../runtime/ffi/platform.ts';
import { platformManifest } from '../release/manifests.ts';
import { publishTo } from './registry.ts';
import { url, user } from './setup.ts';

const platforms = Object.keys(PLATFORMS);

/** Publishes packages with the fields of the real ones and no library, under a scope of their own. */
function publishStandIns(): void {
  const { folder } = user();
  const publish = (name: string, fields: object): void => {
    const place = join(folder, name.replace('/', '-'));
    mkdirSync(place);
    const { os, cpu, libc } = fields as Record<string, unknown>;
    const manifest = {
      name,
      version: '1.0.0',
      type: 'module',
      ...{ os, cpu, libc },
      ...(name === 'choice' ? fields : {}),
    };
    writeFileSync(join(place, 'package.json'), JSON.stringify(manifest));
    publishTo(url, place, '.');
  };
  for (const platform of platforms) publish(`@choice/${platform}`, platformManifest(platform));
  publish('choice', { optionalDependencies: Object.fromEntries(platforms.map(each => [`@choice/${each}`, '1.0.0'])) });
}
beforeAll(publishStandIns);

const chosenIn = (folder: string): string[] => {
  const place = join(folder, 'node_modules/@choice');
  return existsSync(place) ? readdirSync(place) : [];
};

describe('of all platforms', () => {
  test.each([
    ['npm', ['npm', 'install', 'choice']],
    ['bun', ['bun', 'add', 'choice']],
    ['pnpm', ['pnpm', 'add', '--shamefully-hoist', 'choice']],
  ])('%s takes that of this machine', async (_, command) => {
    const project = user().project('choice');
    expect((await project.run(command)).code).toBe(0);
    expect(chosenIn(project.folder)).toEqual([currentPlatform()]);
  });
  test.each(platforms.map(platform => [platform, PLATFORMS[platform as keyof typeof PLATFORMS]] as const))(
    'npm and bun take %s where they are asked to',
    async (platform, fields) => {
      for (const install of [
        ['npm', 'install'],
        ['bun', 'add'],
      ]) {
        const project = user().project('choice');
        const asked = Object.entries(fields).map(([key, value]) => `--${key}=${value}`);
        expect((await project.run([...install, ...asked, 'choice'])).code).toBe(0);
        expect(chosenIn(project.folder)).toEqual([platform]);
      }
    },
  );
});
