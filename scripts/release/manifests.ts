/** The package.json of each package that is published. They are made from that of the project. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CUDA_PLATFORM, packageOf, PLATFORMS, type Platform } from '../../runtime/ffi/platform.ts';
import { root } from '../native.ts';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly keywords: readonly string[];
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, Readonly<Record<string, string>>>>;
}
export const project = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

/** The place of a source file, as in ./runtime/nn/index.ts, in the package: ./dist/nn/index.js. */
const emitted = (source: string, extension: string): string =>
  source.replace(/^\.\/runtime\//, './dist/').replace(/\.ts$/, extension);

const entry = (source: string): string | { types: string; default: string } =>
  source.endsWith('.ts') ? { types: emitted(source, '.d.ts'), default: emitted(source, '.js') } : source;

const each = <T, U>(object: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));

/**
 * The folders whose files do something when they are loaded that others rely on: they attach methods, derivatives and
 * policies, or open the library. Files elsewhere only define things, and a bundler may leave them out.
 */
const effective = [
  './dist/index.js',
  ...['entries', 'ops', 'amp', 'autograd', 'dispatch', 'tensor', 'ffi'].map(folder => `./dist/${folder}/**`),
];

/** The package `castor`: JavaScript, and the platform packages that are published with it. */
export function mainManifest(platforms: readonly string[]): object {
  const { name, version, description, license, keywords } = project;
  const automatic = platforms.filter(platform => platform in PLATFORMS);
  const cuda = packageOf(CUDA_PLATFORM);
  return {
    ...{ name, version, description, keywords, license, type: 'module' },
    exports: each(project.exports, entry),
    imports: each(project.imports, conditions => each(conditions, source => emitted(source, '.js'))),
    types: './dist/index.d.ts',
    // npm warns of an older Node by this field, also those who install with npm and run with Bun, so that it names Bun alone.
    engines: { bun: '>=1.4.0' },
    files: ['dist', 'runtime', 'CHANGELOG.md'],
    sideEffects: effective,
    optionalDependencies: Object.fromEntries(automatic.map(platform => [packageOf(platform), version])),
    // Only those who want it install it. As a peer it is visible to Castor in every layout of node_modules.
    peerDependencies: { [cuda]: version },
    peerDependenciesMeta: { [cuda]: { optional: true } },
  };
}

/** The fields by which a package manager chooses. */
function conditions(platform: string): object {
  const fields = PLATFORMS[platform === CUDA_PLATFORM ? 'linux-x64-glibc' : (platform as Platform)];
  return each(fields, value => [value]);
}

/** A platform package: the native library, and modules that export its path. */
export const platformManifest = (platform: string): object => ({
  name: packageOf(platform),
  version: project.version,
  description: `The native library of Castor for ${platform}`,
  license: project.license,
  type: 'module',
  ...conditions(platform),
  exports: {
    '.': { types: './index.d.ts', bun: './bun.js', default: './index.js' },
    './libcastor.so': './libcastor.so',
    './package.json': './package.json',
  },
  files: ['libcastor.so', 'bun.js', 'index.js', 'index.d.ts'],
});
