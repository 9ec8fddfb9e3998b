/**
 * Tests the distributions of random numbers. Draws from every distribution in every dtype, counts the numbers in each
 * of some bins, and compares the counts with the probabilities by a chi-square test: `bun scripts/distributions.ts
 * [part of a name ...]`. The exit code is 0 if all passed.
 *
 *     --draws N       the number of draws of each (default 10,000,000)
 *     --device NAME   default: cuda if there is one, else cpu
 *     --seed S        default 1
 */
import { isAvailable, manualSeed, tidy, type Device } from 'castor';
import { chiSquare, distributions, passes, type Distribution, type Outcome } from '../tests/reference/distributions.ts';

/** The number of draws that are in memory at once. */
const CHUNK = 1_000_000;

/** Draws at least this many numbers and counts them. */
export function measure({ draw, bins }: Distribution, draws: number, device: Device): Outcome {
  const counts = bins.probabilities.map(() => 0);
  let impossible = 0;
  for (let left = draws; left > 0; left -= CHUNK) {
    const drawn = tidy(() => draw(Math.min(left, CHUNK), device).to('float64').dataSync() as Float64Array);
    for (const x of drawn) {
      const bin = bins.of(x);
      if (Number.isFinite(x) && bin >= 0 && bin < counts.length) counts[bin]!++;
      else impossible++;
    }
  }
  return chiSquare(counts, bins, impossible);
}

function option(args: string[], name: string): string | undefined {
  const at = args.indexOf(name);
  return at >= 0 ? args.splice(at, 2)[1] : undefined;
}

function main(args: string[]): number {
  const draws = Number(option(args, '--draws') ?? 1e7);
  const device = (option(args, '--device') ?? (isAvailable('cuda') ? 'cuda' : 'cpu')) as Device;
  manualSeed(Number(option(args, '--seed') ?? 1));
  const chosen = distributions.filter(({ name }) => args.length === 0 || args.some(part => name.includes(part)));
  const wrong = chosen.filter(distribution => {
    const outcome = measure(distribution, draws, device);
    const ok = passes(outcome);
    const columns = [
      distribution.name.padEnd(48),
      distribution.dtype.padEnd(9),
      String(outcome.draws).padStart(9),
      `chi-square ${outcome.chiSquare.toFixed(1)} of ${outcome.freedom}`.padEnd(28),
      `${outcome.deviations.toFixed(2)} sigma`.padStart(12),
      outcome.impossible > 0 ? `${outcome.impossible} impossible` : '',
      ok ? 'ok' : 'WRONG',
    ];
    console.log(columns.join(' '));
    return !ok;
  });
  console.log(`${chosen.length - wrong.length} passed, ${wrong.length} failed`);
  return wrong.length === 0 && chosen.length > 0 ? 0 : 1;
}

if (import.meta.main) process.exit(main(process.argv.slice(2)));
