/** Runs one test file on Deno or Node: `main.ts FILE`. The last line is `N passed, N failed`. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runAll } from './runner.ts';

await import('../setup.ts');
await import(pathToFileURL(resolve(process.argv[2]!)).href);
const { passed, failed } = await runAll();
// A warning, which goes elsewhere, may have been written without the end of its line.
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
