/** How the runtimes are started, so that `bun:test` and `Bun` stand for what is in this folder. */
import { join } from 'node:path';

const here = import.meta.dirname;
const isDeno = 'deno' in process.versions;

/** The arguments that run a program with Deno. */
export const denoArguments = (file: string): string[] => [
  'run',
  '--allow-all',
  '--no-check',
  '--quiet',
  '--no-lock',
  `--config=${join(here, 'deno.json')}`,
  `--preload=${join(here, 'preload.ts')}`,
  file,
];
/** The arguments that run a program with Node. */
export const nodeArguments = (file: string): string[] => [
  '--disable-warning=ExperimentalWarning',
  `--import=${join(here, 'preload.ts')}`,
  file,
];
/** The arguments that run a program with the runtime that runs this. */
export const argumentsFor = (file: string): string[] => (isDeno ? denoArguments(file) : nodeArguments(file));
