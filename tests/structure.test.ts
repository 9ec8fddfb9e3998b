import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const skipped = new Set(['node_modules', 'build', '.git']);

/** Paths of files below a folder, from the root of the repository. */
const filesIn = (folder: string, ...extensions: string[]): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && extensions.includes(extname(entry.name)))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
    .filter(path => !path.split('/').some(part => skipped.has(part)))
    .toSorted();
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const sources = filesIn('runtime', '.ts');

/** The outermost layer is first: each may import from itself and from later ones only. */
const layers = [
  'entries',
  'index.ts',
  'serve',
  'train',
  'io data optim graph.ts offload.ts capture.ts',
  'nn',
  'ops',
  'amp',
  'autograd',
  'dispatch',
  'tensor',
  'ffi',
];
const shared = ['arguments.ts', 'context.ts', 'errors.ts', 'shown.ts'];
const layerOf = (path: string): number => {
  const folder = path.split('/')[1]!;
  return layers.findIndex(layer => layer.split(' ').includes(folder));
};

interface Import {
  readonly from: string;
  readonly to: string;
}
/** Imports of values and of types, including those inside a type: import('./tensor.ts'). */
function importsOf(path: string): Import[] {
  const code = read(path);
  const statements = code.matchAll(/^(?:import|export)\s+(?:type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm);
  const types = code.matchAll(/\bimport\('([^']+)'\)/g);
  return [...statements, ...types]
    .map(match => match[1]!)
    .filter(target => target.startsWith('.') || target === '#ffi')
    .map(target => ({
      from: path,
      to: target === '#ffi' ? 'runtime/ffi/bun.ts' : relative(root, resolve(root, dirname(path), target)),
    }));
}
const imports = sources.flatMap(importsOf);
const text = ({ from, to }: Import): string => `${from} -> ${to}`;

/** A cycle of imports that is reached from a file, or null. `done` are files from which none is reached. */
function circleFrom(file: string, path: readonly string[], done: Set<string>): readonly string[] | null {
  if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
  if (done.has(file)) return null;
  for (const { to } of imports.filter(({ from }) => from === file)) {
    const circle = circleFrom(to, [...path, file], done);
    if (circle !== null) return circle;
  }
  done.add(file);
  return null;
}

describe('imports', () => {
  test('are found', () => {
    expect(imports.length).toBeGreaterThan(500);
    expect(imports.map(text)).toContain('runtime/ops/call.ts -> runtime/autograd/tape.ts');
    expect(imports.map(text)).toContain('runtime/dispatch/op.ts -> runtime/tensor/dtype.ts');
  });
  test('every folder has its place', () => {
    for (const path of sources)
      if (!shared.includes(basename(path))) expect([path, layerOf(path)]).not.toEqual([path, -1]);
  });
  test('point inwards only, those of types too', () => {
    const wrong = imports.filter(({ from, to }) => {
      if (shared.includes(basename(to)) || shared.includes(basename(from))) return false;
      return layerOf(to) < layerOf(from);
    });
    expect(wrong.map(text)).toEqual([]);
  });
  test('go in no circle, those of types neither', () => {
    const done = new Set<string>();
    for (const file of sources) expect(circleFrom(file, [], done)).toBeNull();
  });
  test('of what every file may use import nothing of Castor but each other', () => {
    const theirs = imports.filter(({ from }) => shared.includes(basename(from)));
    expect(theirs.filter(({ to }) => !shared.includes(basename(to))).map(text)).toEqual([]);
  });
  test('come from files whose names differ in ops and dispatch', () => {
    const names = (folder: string): string[] =>
      sources.filter(path => dirname(path) === `runtime/${folder}`).map(path => basename(path));
    expect(names('ops').filter(name => names('dispatch').includes(name))).toEqual([]);
  });
  test('of derivatives are visible: they are attached to the ops from above', () => {
    const users = imports.filter(({ to }) => to === 'runtime/ops/derivatives/index.ts');
    expect(users.map(text)).toEqual(['runtime/index.ts -> runtime/ops/derivatives/index.ts']);
  });
  test('of nn, optim, data, io and train never call the native library', () => {
    const outer = /^runtime\/(nn|optim|data|io|train)\//;
    expect(imports.filter(({ from, to }) => outer.test(from) && to.startsWith('runtime/ffi/')).map(text)).toEqual([]);
  });
  test('of the runtime adapter happen in ffi and for the collector only', () => {
    const users = sources.filter(path => /from '(#ffi|bun:ffi|bun:jsc)'/.test(read(path)));
    expect(users).toEqual([
      'runtime/ffi/bun.ts',
      'runtime/ffi/library.ts',
      'runtime/ffi/view.ts',
      'runtime/tensor/lateFrees.ts',
      'runtime/tensor/storage.ts',
    ]);
  });
  test('of types that only a runtime declares are none, so that users need no types of Node or Bun', () => {
    const named = (path: string): string[] =>
      [...read(path).matchAll(/\bNodeJS\.(\w+)/g)].map(([, name]) => `${path}: NodeJS.${name}`);
    // The class of the errors of node:fs is named inside of functions only.
    expect(sources.flatMap(named).filter(name => !name.endsWith('NodeJS.ErrnoException'))).toEqual([]);
  });
  test('and globals of one JavaScript runtime are in its adapter only', () => {
    const adapters = ['bun', 'deno', 'node'].map(name => `runtime/ffi/${name}.ts`);
    const own =
      /\b(Bun|Deno)\.|['"]bun(:|['"])|node:(ffi|sqlite|test)\b|import\.meta\.(dir|path|main|file|env|require)\b/;
    const code = (path: string): string => read(path).replaceAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*/g, '');
    // platform.ts asks which runtime it is in.
    expect(sources.filter(path => own.test(code(path)))).toEqual([...adapters, 'runtime/ffi/platform.ts']);
    const manifest = JSON.parse(read('package.json')) as { imports: Record<string, Record<string, string>> };
    expect(Object.values(manifest.imports['#ffi']!)).toEqual(adapters.map(path => `./${path}`));
  });
  test('of packages are none: nothing is needed at run time', () => {
    const packages = sources.flatMap(path =>
      [...read(path).matchAll(/from '([^.'#][^']*)'/g)]
        .map(match => match[1]!)
        .filter(name => !/^(node|bun):/.test(name)),
    );
    expect(packages).toEqual([]);
    const manifest = JSON.parse(read('package.json')) as { dependencies?: object; devDependencies: object };
    expect(manifest.dependencies).toBeUndefined();
    // Two TypeScripts: what editors show is tested with both, and the older one has the parser that scripts/declareOps.ts reads with.
    expect(Object.keys(manifest.devDependencies).toSorted()).toEqual([
      'bun',
      'bun-types',
      'typescript',
      'typescript-5.9',
    ]);
  });
});

/** Top-level functions and methods with their numbers of lines, by their indentation. */
function functionsOf(path: string): { name: string; lines: number }[] {
  const lines = read(path).split('\n');
  const found: { name: string; lines: number }[] = [];
  lines.forEach((line, start) => {
    const head =
      /^( {0,2})(?:export )?(?:async )?(?:function\*? (\w+)|(?:const|let) (\w+) = .*=>|(?:static |override |private |async |\*)*(#?\w+)\(.*\).*\{$)/.exec(
        line,
      );
    if (!head || !line.trimEnd().endsWith('{')) return;
    const end = lines.findIndex(
      (other, i) => i > start && other.startsWith(`${head[1]}}`) && !other.startsWith(`${head[1]} `),
    );
    if (end > 0) found.push({ name: `${path}: ${head[2] ?? head[3] ?? head[4]}`, lines: end - start + 1 });
  });
  return found;
}

describe('sizes', () => {
  test('of runtime files are at most 400 lines, except of the one that a script writes', () => {
    const own = sources.filter(path => path !== 'runtime/ops/declarations.ts');
    const long = own.filter(path => read(path).split('\n').length > 401);
    expect(long).toEqual([]);
  });
  test('of functions are at most 50 lines', () => {
    const all = sources.flatMap(functionsOf);
    expect(all.length).toBeGreaterThan(200);
    expect(all.filter(({ lines }) => lines > 50)).toEqual([]);
  });
  test('of train.ts is under 150 lines', () => {
    expect(read('train.ts').trimEnd().split('\n').length).toBeLessThan(150);
  });
});

describe('no file', () => {
  const everything = filesIn('.', '.ts', '.cpp', '.h', '.inc', '.md', '.json', '.toml', '.txt', '.py', '.cu').filter(
    path => basename(path) !== 'package-lock.json',
  );
  test('names a path of one machine', () => {
    const places = new RegExp(['/wo' + 'rk/', '/ro' + 'ot/', '/ho' + 'me/'].join('|'));
    expect(everything.filter(path => places.test(read(path)))).toEqual([]);
  });
  test('is left half done', () => {
    const marks = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|'));
    expect(everything.filter(path => marks.test(read(path)))).toEqual([]);
  });
  test('of the tests is skipped without a condition, or runs alone', () => {
    const tests = filesIn('tests', '.ts').filter(path => path !== relative(root, import.meta.filename));
    expect(tests.filter(path => /\b(test|describe|it)\.(skip|only|todo)\(/.test(read(path)))).toEqual([]);
  });
});
