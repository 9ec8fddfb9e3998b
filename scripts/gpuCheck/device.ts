/** Building, where that is needed, and the first contact with the driver and the device. */
import { spawn, type ChildProcess } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { existsSync, readFileSync } from 'node:fs';
import { findToolkit } from '../cudaToolkit.ts';
import { build as folder, root } from '../native.ts';
import { options, paths } from './options.ts';
import { bun, lastLines, note, noteEnd, skip, type Part, type Shell } from './part.ts';
import { describe, type Outcome } from './report.ts';

/** Returns the description of the first GPU by nvidia-smi, or null if there is none. */
async function asked(shell: Shell, query: string): Promise<string | null> {
  const command = ['nvidia-smi', `--query-gpu=${query}`, '--format=csv,noheader,nounits'];
  const { text, code } = await shell('nvidia-smi', command, { limit: 15 });
  return code === 0 ? text.split('\n')[0]!.trim() : null;
}

async function compile(shell: Shell, outcome: Outcome): Promise<void> {
  const capability = await asked(shell, 'compute_cap');
  // nvcc would ask the device for each of its files, and compile for another architecture when that fails.
  const env = capability ? { CASTOR_CUDA_ARCH: capability.replace('.', '') } : {};
  const built = await shell('build', [bun, 'scripts/build.ts', '--cuda'], { env });
  noteEnd(outcome, 'build', built, 40);
  if (built.code !== 0) return;
  const targets = ['castor_kernel_tests', 'castor_conformance_cuda'];
  const parallel = ['-j', String(availableParallelism())];
  noteEnd(
    outcome,
    'tests',
    await shell('build', ['cmake', '--build', folder, ...parallel, '--target', ...targets]),
    40,
  );
}

const program = `import { deviceInfo, ones } from './runtime/index.ts';
  console.log(JSON.stringify(deviceInfo('cuda')));
  if (ones([1000], { device: 'cuda' }).mul(2).sum().itemSync() !== 2000) throw new Error('1000 twos do not sum to 2000');
  console.log('ready');`;

/** A first computation on the device. Returns null if it succeeds, else what is wrong. */
async function contact(shell: Shell, outcome: Outcome): Promise<string | null> {
  const ended = await shell('contact', [bun, '-e', program], { limit: 40 });
  const [info] = ended.text.split('\n').filter(line => line.startsWith('{'));
  if (info) outcome.details.device = JSON.parse(info);
  if (ended.code === 0 && /^ready$/m.test(ended.text)) return null;
  return ended.text.split('\n').find(line => /^\w*Error: /.test(line)) ?? lastLines(ended.text);
}

/** Processes that run during the whole check. */
const beside: ChildProcess[] = [];
const startBeside = (command: readonly string[], env: Record<string, string> = {}): void => {
  const child = spawn(command[0]!, command.slice(1), { cwd: root, env: { ...process.env, ...env }, stdio: 'ignore' });
  child.on('error', () => {});
  beside.push(child);
};
export const endBeside = (): void => beside.forEach(child => child.kill('SIGKILL'));

export const build: Part = {
  limit: 240,
  async run(shell, outcome) {
    // The first import reads gigabytes, which takes a minute; the benchmarks need it later.
    startBeside([process.env.CASTOR_PYTHON ?? 'python3', '-c', 'import torch; torch.zeros(1, device="cuda")']);
    if (!options.prebuilt) return compile(shell, outcome);
    const missing = [paths.library, paths.kernelTests, paths.conformance].find(file => !existsSync(file));
    if (missing) note(outcome, `${missing} is not there: npm run gpu:pack makes the pack`);
    else skip(outcome, 'prebuilt');
  },
};

const line = async (shell: Shell, ...command: string[]): Promise<string | null> => {
  const { text, code } = await shell('about', command, { limit: 15 });
  return code === 0 ? (text.trim().split('\n')[0] ?? null) : null;
};
async function describeMachine(shell: Shell): Promise<void> {
  const changed = await line(shell, 'git', 'status', '--porcelain', '--untracked-files=no');
  describe({
    date: new Date().toISOString(),
    commit: await line(shell, 'git', 'rev-parse', 'HEAD'),
    changed: changed === null ? null : changed !== '',
    pack: existsSync(paths.manifest) ? JSON.parse(readFileSync(paths.manifest, 'utf8')) : null,
    gpu: await asked(shell, 'name,driver_version,compute_cap,memory.total'),
    clocks: await asked(shell, 'clocks.sm,clocks.mem,clocks.max.sm,power.limit'),
    nvcc: findToolkit().found?.version ?? null,
    compiler: await line(shell, 'c++', '--version'),
    bun: Bun.version,
    system: await line(shell, 'uname', '-sr'),
    processor: `${cpus()[0]?.model}, ${availableParallelism()} threads`,
    prebuilt: options.prebuilt,
    short: options.short,
  });
}

/**
 * Tries the device. A prebuilt library that cannot use it is replaced by one that is built here. Then a process keeps a
 * context open, because a driver that no process uses may start the GPU anew for each process.
 */
export const probe: Part = {
  limit: 240,
  async run(shell, outcome) {
    await describeMachine(shell);
    let wrong = await contact(shell, outcome);
    if (wrong && options.prebuilt && findToolkit().found && Bun.which('cmake')) {
      outcome.notes.push(`the prebuilt library does not work here: ${wrong}`);
      await compile(shell, outcome);
      wrong = await contact(shell, outcome);
    }
    if (wrong) return note(outcome, wrong);
    outcome.passed = 1;
    startBeside([bun, '-e', `${program}; setInterval(() => {}, 1000);`], { CASTOR_LIBRARY: paths.library });
  },
};
