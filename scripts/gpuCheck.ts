/**
 * Runs everything that only a GPU can show, in nine minutes: compares the wrappers of the device code with the emulator's
 * results, runs the native tests, the TypeScript suite and compute-sanitizer, and compares the speed with PyTorch. It
 * needs no network, no node_modules and no git. After each part it writes its report; whatever fails, hangs or loses the
 * device, it ends within the limit.
 *
 *     npm run gpu:check -- [--out FOLDER] [--only PART,...] [--limit SECONDS] [--prebuilt] [--short] [--slow N]
 *
 *     --out       the folder of report.json, table.txt, log.txt and of the figures (build/gpu-check)
 *     --only      of build, probe, conformance, kernels, products, failing, suite, figures, pytorch, gpt, sanitizer
 *     --limit     seconds until everything has ended (540)
 *     --prebuilt  with the pack in .gpu that `npm run gpu:pack` has made, on this machine or on another one
 *     --short     little of everything, as a rehearsal; --tiny: all cases and files, with small sizes for figures
 *     --slow      limits so many times as long, for a device as slow as the emulator
 */
import { readFileSync } from 'node:fs';
import { failing, sanitizer } from './gpuCheck/again.ts';
import { build, endBeside, probe } from './gpuCheck/device.ts';
import { beside, gpt, own } from './gpuCheck/figures.ts';
import { conformance, kernels } from './gpuCheck/kernels.ts';
import { options } from './gpuCheck/options.ts';
import { runPart, type Part } from './gpuCheck/part.ts';
import { finish, logLine, outcomes, unwritten } from './gpuCheck/report.ts';
import { products, suite } from './gpuCheck/suites.ts';
import { endLeftovers } from './limited.ts';
import { say, stop } from './native.ts';

/** The parts in the order in which they run. Those that say most in the least time come first. */
const parts: Readonly<Record<string, Part>> = {
  build,
  probe,
  conformance,
  kernels,
  products,
  failing,
  suite,
  figures: own,
  pytorch: beside,
  gpt,
  sanitizer,
};
/** Without them nothing else has a meaning. */
const needed = ['build', 'probe'];

if (options.help) {
  const [comment] = readFileSync(import.meta.path, 'utf8').split('*/');
  console.log(comment!.replaceAll(/^\/?[* ]+/gm, ''));
  process.exit(0);
}
const unknown = options.only?.find(name => !(name in parts));
if (unknown) stop(`there is no part '${unknown}'; there are ${Object.keys(parts).join(', ')}`);

for (const [name, part] of Object.entries(parts)) {
  if (options.only && !needed.includes(name) && !options.only.includes(name)) continue;
  say(`${name} ...`);
  const outcome = await runPart(name, part);
  const line = `${name}: ${outcome.status}, ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.seconds.toFixed(1)} s`;
  say(line);
  logLine(line);
  if (needed.includes(name) && ['failed', 'incomplete'].includes(outcome.status)) break;
}
endBeside();
logLine(`${endLeftovers()} processes were left over`);
finish();
const wrong = Object.values(outcomes).some(({ status }) => status === 'failed' || status === 'incomplete');
process.exit(wrong || Object.keys(unwritten).length > 0 ? 1 : 0);
