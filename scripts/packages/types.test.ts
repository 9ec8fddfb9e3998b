/** TypeScript of users checks with their own flags and never sees the sources of Castor. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Project } from './project.ts';
import { root, user } from './setup.ts';

const program = `import { autocast, F, GradScaler, manualSeed, nn, optim, randn, tensor, tidy, type Tensor } from 'castor';
import { Linear } from 'castor/nn';
import { loadTensors } from 'castor/io';
import * as autograd from 'castor/autograd';
import * as data from 'castor/data';
import * as graph from 'castor/graph';
import { AdamW } from 'castor/optim';
import { batcher } from 'castor/serve';
import { Progress } from 'castor/train';

manualSeed(0);
const model = new nn.Sequential(new Linear(8, 4), new nn.ReLU());
const y: Tensor = autocast({ dtype: 'float16' }, () => model.forward(randn([2, 8])).add(1).relu());
using z = tensor(new Float32Array(3)).to('float16');
const values: Float16Array = z.dataSync();
// @ts-expect-error: a name that does not exist
y.relux();
// @ts-expect-error: a dtype that does not exist
y.to('float17');
export { AdamW, autograd, batcher, data, F, GradScaler, graph, loadTensors, optim, Progress, tidy, values, y };
`;
const strict = {
  ...{ strict: true, noEmit: true, skipLibCheck: false, isolatedModules: true, verbatimModuleSyntax: true },
  ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noImplicitOverride: true },
  ...{
    noPropertyAccessFromIndexSignature: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    noImplicitReturns: true,
  },
  ...{ noFallthroughCasesInSwitch: true, allowUnreachableCode: false, erasableSyntaxOnly: true },
};
/** What `bun init` writes. */
const ofBunInit = {
  ...{
    lib: ['ESNext'],
    target: 'ESNext',
    module: 'Preserve',
    moduleDetection: 'force',
    jsx: 'react-jsx',
    allowJs: true,
  },
  ...{ moduleResolution: 'bundler', allowImportingTsExtensions: true, skipLibCheck: true, types: ['bun-types'] },
};

let project: Project;
beforeAll(async () => {
  project = user().project('typed', { 'main.ts': program });
  expect((await project.run(['bun', 'add', 'castor'])).code).toBe(0);
  symlinkSync(join(root, 'node_modules/bun-types'), join(project.folder, 'node_modules/bun-types'));
});

async function complaints(compiler: string, options: object): Promise<string> {
  project.write({ 'tsconfig.json': JSON.stringify({ compilerOptions: options, files: ['main.ts'] }) });
  const child = Bun.spawn(
    ['node', join(root, `node_modules/${compiler}/bin/tsc`), '-p', project.folder, '--pretty', 'false'],
    { stdout: 'pipe', stderr: 'pipe' },
  );
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  return (out + err).trim() + (code === 0 ? '' : ` (exit code ${code})`);
}

const settings: readonly (readonly [string, object])[] = [
  ['nodenext, without types of a runtime', { ...strict, module: 'nodenext', target: 'es2022', types: [] }],
  ['a bundler', { ...strict, module: 'esnext', moduleResolution: 'bundler', target: 'esnext', types: [] }],
  [
    'a library of an older year',
    { ...strict, module: 'nodenext', target: 'es2022', lib: ['es2022', 'dom'], types: [] },
  ],
  ['what bun init writes', { ...strict, ...ofBunInit }],
];
test.each(settings)('typescript with %s', async (_, options) => {
  expect(await complaints('typescript', options)).toBe('');
});
test.each(settings.slice(-2))('typescript 5.9 with %s', async (_, options) => {
  expect(await complaints('typescript-5.9', options)).toBe('');
});

test('bun check', async () => {
  project.write({
    'tsconfig.json': JSON.stringify({ compilerOptions: { ...strict, ...ofBunInit }, files: ['main.ts'] }),
  });
  const { code, text } = await project.run(['bun', '--no-script', 'check']);
  expect([code, text]).toEqual([0, expect.stringContaining('No type errors')]);
});

test('an error has the place in the sources, which are in the package', async () => {
  project.write({ 'wrong.ts': `import { ones } from 'castor';\nones([2]).reshape(3);\n` });
  const { code, text } = await project.run(['bun', 'wrong.ts']);
  expect(code).toBe(1);
  expect(text).toContain('ShapeError: reshape: ');
  expect(text).toMatch(/castor\/(runtime\/.*\.ts|dist\/.*\.js):\d+:\d+/);
  expect(text).toContain('wrong.ts:2');
});
