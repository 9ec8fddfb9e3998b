import { activations } from './activations.ts';
import * as amp from './amp.ts';
import type { Part } from './bench.ts';
import { doubling } from './doubling.ts';
import * as files from './files.ts';
import * as ops from './ops.ts';
import { products } from './products.ts';
import { runtimes } from './runtimes.ts';
import { serving } from './serving/index.ts';
import { table } from './table.ts';
import { heldOut } from './train.ts';
import * as trainings from './trainings.ts';

/** A part of the benchmark. */
export interface NamedPart {
  readonly name: string;
  /** Other names by which it is chosen. */
  readonly also?: readonly string[];
  readonly part: Part;
  /** Is it measured at one number of threads only, because it does not depend on it? */
  readonly once?: true;
  /** Is it left out unless it is named, or --full is given? */
  readonly long?: true;
}

/** Those that measure nanoseconds come first, before others have filled the heap. */
export const parts: readonly NamedPart[] = [
  { name: 'op', part: ops.opOverhead, once: true },
  { name: 'gate', part: ops.gate, once: true },
  { name: 'autocast', part: amp.overheads, once: true },
  { name: 'scaler', part: amp.scaler, once: true },
  { name: 'loop', part: ops.loop, once: true },
  { name: 'activation', also: ['amp'], part: activations, once: true },
  { name: 'add', part: ops.add },
  { name: 'matmul', also: ['gemm'], part: products },
  { name: 'mlp', part: trainings.mlpSteps },
  { name: 'convnet', part: trainings.convnetSteps },
  { name: 'gpt128', part: trainings.gpt128Steps },
  { name: 'gpt512', part: trainings.gpt512Steps },
  { name: 'doubling', part: doubling },
  { name: 'table', part: table },
  { name: 'file', part: files.stalls, once: true },
  { name: 'runtimes', part: runtimes, once: true, long: true },
  { name: 'serve', part: serving, once: true, long: true },
  { name: 'train', part: heldOut, once: true, long: true },
];

const namesOf = ({ name, also = [] }: NamedPart): readonly string[] => [name, ...also];

/** Does what a user asked for name a part: in part, or with a figure after it? */
const chooses = (asked: string, part: NamedPart): boolean =>
  namesOf(part).some(name => name.includes(asked) || asked.startsWith(`${name}.`));

/** The parts that a user asked for. @throws Error for a name that chooses none */
export function chosen(names: readonly string[], full: boolean): readonly NamedPart[] {
  const unknown = names.find(asked => !parts.some(part => chooses(asked, part)));
  if (unknown !== undefined)
    throw new Error(`there is no part '${unknown}'; there are ${parts.flatMap(namesOf).join(', ')}`);
  if (names.length === 0) return parts.filter(({ long }) => !long || full);
  return parts.filter(part => names.some(asked => chooses(asked, part)));
}

/** Which of a part's figures did a user ask for? All of them, unless there are names of figures. */
export function wantedIn(part: NamedPart, names: readonly string[]): (figure: string) => boolean {
  const own = names.filter(asked => chooses(asked, part));
  const figures = own.filter(asked => asked.startsWith(`${part.name}.`));
  if (figures.length < own.length || figures.length === 0) return () => true;
  return figure => figures.some(asked => figure.startsWith(asked) || asked.startsWith(`${figure}.`));
}
