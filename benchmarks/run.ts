/** `npm run bench`: figures of the CPU with their limits, and PyTorch's figures from the same run. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { deviceInfo, manualSeed, setDefaultDevice, setNumThreads } from '../runtime/index.ts';
import manifest from '../package.json';
import { isLevel, levelFacts, levels, type Level } from './levels.ts';
import type { Figure } from './measure.ts';
import type { Bench } from './bench.ts';
import { readOptions, withoutLevel, type Options } from './options.ts';
import { chosen, parts, wantedIn, type NamedPart } from './parts.ts';
import { jsonLines, rowsOf, show, summary, tableOf, type Row } from './report.ts';
import { save, type MeasuredPart, type Taken } from './results.ts';
import { startTorch, type Torch } from './torch.ts';

const HELP = `Usage: npm run bench -- [options] [NAME ...]
Prints figures (medians), with PyTorch's beside them when python3 can import torch; CASTOR_PYTHON names another Python. Castor and
PyTorch take turns. A ! marks what does not reach its limit.
  --json         one JSON line a figure: {"name", "value", "unit", "threads"}, with PyTorch "torch" and "overTorch" (its time over
                 Castor's). The name at the largest number of threads is plain; at another it ends with it: add.16m.gbps@1
  --save         also writes benchmarks/results/cpu-MACHINE-LEVEL.json; parts that are not measured now keep their figures there
  --full         also trains train.ts for its 300 steps in float32, float16 and bfloat16 (minutes), and measures ops on Deno and
                 Node, which it installs (300 MB)
  --no-torch     Castor's figures only
  --threads LIST numbers of threads (1,2)
  --rounds N     samples of each figure (7)
  --level LIST   at each of these instruction sets in turn: ${levels.join(', ')}; PyTorch is kept to the same
  --processor-time
                 counts the time in which a processor worked for the one thread, for machines that other programs use as well
  --tiny         small sizes, which prove the code and say nothing of speed
  NAME           only parts whose name contains this: ${parts.map(({ name }) => name).join(', ')};
                 of matmul and table also some figures, such as matmul.1024.bf16 or table.softmax`;

function stop(text: string): never {
  console.error(`castor: ${text}`);
  process.exit(2);
}

/** Runs the program once for each level, because the library chooses its kernels when it is loaded. */
async function atLevels(wanted: readonly Level[], args: readonly string[]): Promise<number> {
  let worst = 0;
  for (const level of wanted) {
    const env = { ...process.env, CASTOR_ISA: level };
    const child = Bun.spawn([process.execPath, import.meta.path, ...withoutLevel(args)], {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    worst = Math.max(worst, await child.exited);
  }
  return worst;
}

/** The level of the kernels in this process. */
function currentLevel(): Level {
  const { isa } = deviceInfo('cpu');
  const wanted = process.env.CASTOR_ISA;
  if (!isLevel(isa)) stop(`there are no limits for the instruction set ${isa}`);
  if (wanted && wanted !== isa) stop(`this machine or library does not have the level ${wanted}`);
  return isa;
}

/** The nanoseconds that this thread has run, and those in which it waited for a processor. */
function scheduled(): [ran: number, waited: number] {
  const [ran, waited] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ').map(Number);
  return [ran!, waited!];
}

/** The seconds of one sample. */
const SAMPLE = 0.03;

/** The figures so far, and the parts that PyTorch or the compiler failed in. */
class Run {
  readonly #options: Options;
  readonly #level: Level;
  readonly #torch: Torch | null;
  readonly parts: Record<string, MeasuredPart> = {};
  failures = 0;

  constructor(options: Options, level: Level, torch: Torch | null) {
    this.#options = options;
    this.#level = level;
    this.#torch = torch;
  }

  #bench(part: NamedPart, threads: number): Bench {
    const { tiny, rounds, clock, names } = this.#options;
    const failed = (text: string): void => {
      this.failures++;
      console.error(`castor: ${text}`);
    };
    const sample = tiny ? 0 : SAMPLE;
    return {
      tiny,
      rounds,
      sample,
      clock,
      threads,
      failed,
      level: this.#level,
      torch: this.#torch,
      wants: wantedIn(part, names),
    };
  }

  /** Measures a part at each number of threads. */
  async #figures(part: NamedPart): Promise<Row[]> {
    const { threads, json, tiny } = this.#options;
    const found: { threads: number; figure: Figure }[] = [];
    for (const count of part.once ? threads.slice(-1) : threads) {
      setNumThreads(count);
      for (const figure of await part.part(this.#bench(part, count))) {
        const { name, value, unit, torch } = figure;
        if (!json) console.error(`${name} (${count}) ${show(value)} ${unit}`);
        found.push({ threads: count, figure: tiny ? { name, value, unit, ...(torch ? { torch } : {}) } : figure });
      }
    }
    return rowsOf(found);
  }

  async measure(part: NamedPart): Promise<void> {
    const { json, rounds, clock } = this.#options;
    const [ran, waited] = scheduled();
    const figures = await this.#figures(part);
    const [ranThen, waitedThen] = scheduled();
    const share = (waitedThen - waited) / (ranThen - ran + waitedThen - waited);
    if (json) for (const line of figures.flatMap(jsonLines)) console.log(line);
    this.parts[part.name] = { taken: { ...this.#taken(), rounds, clock, waited: Number(share.toFixed(3)) }, figures };
  }

  #taken(): Pick<Taken, 'date' | 'castor' | 'bun' | 'torch'> {
    const date = new Date().toISOString().slice(0, 10);
    const torch = this.#torch ? String(this.#torch.about['torch']) : null;
    return { date, castor: manifest.version, bun: Bun.version, torch };
  }
}

/** The machine, the level, the threads and the versions. */
function head(level: Level, threads: readonly number[], torch: Torch | null): string {
  const other = torch ? `PyTorch ${torch.about['torch']} (${torch.about['level']})` : 'without PyTorch';
  const counts = threads.map(count => `${count} thread${count === 1 ? '' : 's'}`).join(' and ');
  return `${deviceInfo('cpu').name}, level ${level}, ${counts}; Castor ${manifest.version}, Bun ${Bun.version}, ${other}`;
}

/** The largest share of waiting that does not call figures in question. */
const QUIET = 0.02;
function disturbed(parts: Readonly<Record<string, MeasuredPart>>): string[] {
  const names = Object.keys(parts).filter(name => {
    const { waited, clock } = parts[name]!.taken;
    return clock === 'wall' && waited > QUIET;
  });
  return names.length === 0
    ? []
    : [`Other programs used the processors during ${names.join(', ')}: repeat these on a quiet machine`];
}

async function main(options: Options, wanted: readonly NamedPart[]): Promise<number> {
  setDefaultDevice('cpu');
  manualSeed(0);
  const level = currentLevel();
  const same = process.env.CASTOR_ISA ? levelFacts[level].torch : {};
  const torch = options.torch ? await startTorch('cpu.py', same) : null;
  const title = head(level, options.threads, torch);
  if (!options.json) console.log(title);
  const run = new Run(options, level, torch);
  for (const part of wanted) await run.measure(part);
  torch?.stop();
  const { name: machine = 'unknown', products = {} } = deviceInfo('cpu');
  const about = { machine, level, processors: availableParallelism(), products };
  if (options.save) console.error(`castor: saved ${save(about, run.parts)}`);
  const rows = Object.values(run.parts).flatMap(({ figures }) => figures);
  if (!options.json)
    console.log(['', title, tableOf(rows, options.threads), summary(rows), ...disturbed(run.parts)].join('\n'));
  return run.failures > 0 ? 1 : 0;
}

/** Reads the arguments. If one is wrong, the program says so and ends. */
function asked(args: readonly string[]): { options: Options; wanted: readonly NamedPart[] } {
  try {
    const options = readOptions(args, availableParallelism());
    return { options, wanted: chosen(options.names, options.full) };
  } catch (error) {
    return stop(error instanceof Error ? error.message : String(error));
  }
}

const args = process.argv.slice(2);
const { options, wanted } = asked(args);
if (options.help) console.log(HELP);
else process.exitCode = await (options.levels.length > 0 ? atLevels(options.levels, args) : main(options, wanted));
