/** What must be true of a package before it is published. Each check returns the faults that it finds. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { symbols } from '../../runtime/ffi/symbols.ts';
import { root } from '../native.ts';
import { filesBelow } from './javascript.ts';
import { libraryFacts, libraryFaults } from './library.ts';
import type { Packed } from './pack.ts';

const MB = 1e6;
/** The largest sizes of packed packages, in bytes. */
const limits = { main: 1 * MB, platform: 5 * MB, cuda: 100 * MB, template: 0.1 * MB };

const json = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

/** What every package has: a licence, a page, and nothing that runs when it is installed. */
function commonFaults({ folder, files, bytes }: Packed, limit: number): string[] {
  const manifest = json(join(folder, 'package.json'));
  const missing = ['LICENSE', 'README.md', 'package.json'].filter(name => !files.includes(name));
  const unwanted = ['scripts', 'dependencies', 'devDependencies', 'private'].filter(key => key in manifest);
  const licence = (at: string): string => readFileSync(join(at, 'LICENSE'), 'utf8');
  const isOurs = missing.includes('LICENSE') || (licence(folder) === licence(root) && manifest.license === 'MIT');
  const telling = files.filter(
    name => !name.endsWith('.so') && readFileSync(join(folder, name), 'utf8').includes(root),
  );
  return [
    ...missing.map(name => `it lacks ${name}`),
    ...unwanted.map(key => `its package.json has ${key}`),
    ...(isOurs ? [] : ['its licence is not that of the project']),
    ...(bytes > limit ? [`${bytes} bytes packed are more than ${limit}`] : []),
    ...telling.map(name => `${name} contains the path of the checkout`),
  ];
}

/** All file names in a value of package.json, as those of `exports`. */
const targets = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Object.values((value ?? {}) as object).flatMap(targets);

/** The sources of a source map that are not in the package. */
function lostSources(folder: string, map: string, files: ReadonlySet<string>): string[] {
  const { sources } = json(join(folder, map)) as { sources: string[] };
  return sources.filter(source => !files.has(relative(folder, resolve(folder, dirname(map), source))));
}

/** The package `castor`. */
export function mainFaults(packed: Packed): string[] {
  const { folder, files } = packed;
  const all = new Set(files);
  const manifest = json(join(folder, 'package.json'));
  const named = [...targets(manifest.exports), ...targets(manifest.imports)].map(path => path.replace('./', ''));
  const modules = filesBelow(join(root, 'runtime')).filter(name => name.endsWith('.ts'));
  const emitted = modules.flatMap(name =>
    ['.js', '.d.ts', '.js.map', '.d.ts.map'].map(kind => `dist/${name.replace(/\.ts$/, kind)}`),
  );
  const maps = files.filter(name => name.endsWith('.map'));
  const known = /^(dist\/.*\.(js|d\.ts)(\.map)?|runtime\/.*\.(ts|md)|package\.json|LICENSE|README\.md|CHANGELOG\.md)$/;
  return [
    ...commonFaults(packed, limits.main),
    ...[...named, ...emitted].filter(name => !all.has(name)).map(name => `it lacks ${name}`),
    ...files.filter(name => !known.test(name)).map(name => `${name} does not belong there`),
    ...maps.flatMap(map => lostSources(folder, map, all).map(source => `${map}: ${source} is not in the package`)),
  ];
}

/** The package `create-castor`: its program and all files of the template. */
export function templateFaults(packed: Packed): string[] {
  const expected = ['LICENSE', ...filesBelow(join(root, 'create-castor'))];
  const { files } = packed;
  return [
    ...commonFaults(packed, limits.template),
    ...expected.filter(file => !files.includes(file)).map(file => `it lacks ${file}`),
    ...files.filter(file => !expected.includes(file)).map(file => `${file} does not belong there`),
  ];
}

/** GPU code is in a section of its own. */
const hasGpuCode = (library: string): boolean => readFileSync(library).includes('.nv_fatbin');

/** The CUDA backend is in its own package, and in no other. */
function backendFaults(name: string, library: string): string[] {
  if (hasGpuCode(library) === name.includes('cuda')) return [];
  return [name.includes('cuda') ? 'it is without the CUDA backend' : 'it contains the CUDA backend'];
}

/**
 * A platform package. `newest` is the newest glibc that its library may need, or null where that is not limited. A local one
 * contains what was built on this machine, with the CUDA backend or without it.
 */
export function platformFaults(packed: Packed, newest: string | null, isLocal = false): string[] {
  const expected = ['LICENSE', 'README.md', 'bun.js', 'index.d.ts', 'index.js', 'libcastor.so', 'package.json'];
  const { folder, files, name } = packed;
  const library = join(folder, 'libcastor.so');
  const others = files.filter(file => !expected.includes(file));
  return [
    ...commonFaults(packed, isLocal || name.includes('cuda') ? limits.cuda : limits.platform),
    ...expected.filter(file => !files.includes(file)).map(file => `it lacks ${file}`),
    ...others.map(file => `${file} does not belong there`),
    ...(existsSync(library) && statSync(library).size > 0
      ? [
          ...libraryFaults(libraryFacts(library), Object.keys(symbols), newest),
          ...(isLocal ? [] : backendFaults(name, library)),
        ]
      : []),
  ];
}
