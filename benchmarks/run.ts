import { deviceInfo } from '../runtime/index.ts';
import * as amp from './amp.ts';
import * as files from './files.ts';
import * as gpt from './gpt.ts';
import type { Figure } from './measure.ts';
import * as ops from './ops.ts';
import { heldOut } from './train.ts';

const HELP = `Usage: npm run bench -- [--json] [--full] [--no-torch] [NAME ...]
Prints a table of figures (medians), PyTorch's beside them when python3 can import torch.
  --json      one JSON line a figure: {"name", "value", "unit"}
  --full      also trains train.ts for its 300 steps in float32, float16 and bfloat16 (minutes)
  --no-torch  Castor's figures only
  NAME        only parts whose name contains this: op, gate, gemm, gpt, mlp, add, loop, amp, autocast, scaler, file, train`;

const args = process.argv.slice(2);
const flag = (name: string): boolean => args.includes(name);
if (flag('--help')) {
  console.log(HELP);
  process.exit(0);
}
const wanted = args.filter(arg => !arg.startsWith('--'));

const parts: Record<string, () => Figure[] | Promise<Figure[]>> = {
  op: ops.opOverhead,
  gate: () => [ops.gate()],
  gemm: ops.gemm,
  mlp: () => [ops.mlp()],
  add: () => [ops.add()],
  gpt: gpt.step,
  loop: () => [ops.loop()],
  amp: gpt.activations,
  autocast: amp.overheads,
  scaler: amp.scaler,
  file: files.stalls,
  ...(flag('--full') ? { train: heldOut } : {}),
};

/** PyTorch's figures by name. There are none if python3 has no torch. */
async function torch(): Promise<Map<string, number>> {
  if (flag('--no-torch') || flag('--json')) return new Map();
  for (const python of ['python3', '/usr/bin/python3']) {
    if (Bun.spawnSync([python, '-c', 'import torch']).exitCode !== 0) continue;
    const run = Bun.spawn([python, `${import.meta.dirname}/pytorch.py`], { stderr: 'inherit' });
    const lines = (await new Response(run.stdout).text()).split('\n').filter(line => line.startsWith('{'));
    return new Map(lines.map(line => JSON.parse(line)).map(({ name, value }) => [name, value]));
  }
  return new Map();
}

const show = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

const figures: Figure[] = [];
for (const [name, part] of Object.entries(parts)) {
  if (wanted.length > 0 && !wanted.some(want => name.includes(want))) continue;
  for (const figure of await part()) {
    figures.push(figure);
    if (flag('--json')) console.log(JSON.stringify({ name: figure.name, value: figure.value, unit: figure.unit }));
    else console.error(`${figure.name} ${show(figure.value)} ${figure.unit}`);
  }
}

if (!flag('--json')) {
  const { name, isa, threads } = deviceInfo('cpu');
  const reference = await torch();
  console.log(`\n${name}, ${isa}, ${threads} threads`);
  console.log(
    ['figure'.padEnd(26), 'Castor'.padStart(9), 'unit'.padEnd(8), 'must'.padEnd(9), 'PyTorch'.padStart(9)].join(' '),
  );
  for (const { name: figure, value, unit, must = '' } of figures) {
    const other = reference.get(figure);
    console.log(
      [
        figure.padEnd(26),
        show(value).padStart(9),
        unit.padEnd(8),
        must.padEnd(9),
        (other === undefined ? '' : show(other)).padStart(9),
      ].join(' '),
    );
  }
}
