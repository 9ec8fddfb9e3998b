/** Emits the JavaScript of the package: modules, declarations and source maps in dist/, with the sources beside it in runtime/. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, stop } from '../native.ts';

const compiler = join(root, 'node_modules/.bin/tsc');
/** What declarations need of the language's library, whatever `lib` a user's tsconfig names: Float16Array and `using`. */
const libraries = ['esnext.float16', 'esnext.disposable'];

/** What differs from the settings of the project. */
const options = {
  noEmit: false,
  rootDir: 'runtime',
  outDir: 'dist',
  declaration: true,
  declarationMap: true,
  sourceMap: true,
  rewriteRelativeImportExtensions: true,
  allowImportingTsExtensions: false,
  paths: {},
};

/** Emits into a folder, which is the package from then on. */
export function emitJavaScript(folder: string): void {
  cpSync(join(root, 'runtime'), join(folder, 'runtime'), { recursive: true });
  const settings = join(folder, 'tsconfig.json');
  writeFileSync(
    settings,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions: options, include: ['runtime'] }),
  );
  const { exitCode, stdout } = Bun.spawnSync([process.execPath, '--bun', compiler, '--project', settings], {
    cwd: folder,
  });
  if (exitCode !== 0) stop(`tsc failed\n${stdout.toString()}`);
  rmSync(settings);
  const index = join(folder, 'dist/index.d.ts');
  const references = libraries.map(name => `/// <reference lib="${name}" />\n`).join('');
  writeFileSync(index, references + readFileSync(index, 'utf8'));
}

/** Files below a folder, as paths from it. */
export const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(each => each.isFile())
    .map(each => join(each.parentPath, each.name).slice(folder.length + 1))
    .toSorted();
