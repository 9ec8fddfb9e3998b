/**
 * Reads what cuobjdump prints of a compiled kernel: its instructions (SASS) with the stall counts of the compiler, its
 * registers and its launch bounds.
 */

export interface Instruction {
  readonly address: number;
  /** Without its predicate and operands: `HMMA.16816.F32.BF16`. */
  readonly name: string;
  readonly operands: string;
  /** How many cycles the warp waits after it has issued this instruction, before it may issue the next one. */
  readonly stall: number;
}

export interface Resources {
  readonly registers: number;
  /** Bytes of local memory of each thread: spilled registers, and arrays that are indexed at run time. */
  readonly stack: number;
  /** Bytes of static shared memory. */
  readonly shared: number;
  /** The largest block that its launch bounds allow. */
  readonly threads: number;
}

const functions = (text: string, start: RegExp): Map<string, string> =>
  new Map(
    [...text.matchAll(start)].map(({ 1: name = '', index }, i, all) => [name, text.slice(index, all[i + 1]?.index)]),
  );

/**
 * An instruction has 128 bits, which cuobjdump prints as two numbers of 64 bits. Bits 41 to 44 of the second one are
 * the stall count, on every architecture since Volta.
 */
const line =
  /^\s+\/\*([0-9a-f]+)\*\/\s+(?:@\S+\s+)?([A-Z][\w.]*)\s*([^;]*);\s+\/\* 0x[0-9a-f]{16} \*\/\n\s+\/\* 0x([0-9a-f]{16}) \*\//gm;

/** The instructions of each kernel, from the output of `cuobjdump -sass`. */
export function instructionsOf(text: string): Map<string, Instruction[]> {
  const read = (code: string): Instruction[] =>
    [...code.matchAll(line)].map(([, address = '', name = '', operands = '', control = '']) => ({
      address: parseInt(address, 16),
      name,
      operands: operands.trim(),
      stall: (parseInt(control.slice(0, 6), 16) >> 1) & 15,
    }));
  return new Map([...functions(text, /^\s+Function : (\S+)$/gm)].map(([name, code]) => [name, read(code)]));
}

/** The resources of each kernel, from the outputs of `cuobjdump -res-usage` and `cuobjdump -elf`. */
export function resourcesOf(usage: string, elf: string): Map<string, Resources> {
  const bounds = functions(elf, /^\.nv\.info\.(\S+)$/gm);
  const number = (text: string | undefined, pattern: RegExp): number => Number(pattern.exec(text ?? '')?.[1] ?? 0);
  const read = (name: string, text: string): Resources => ({
    registers: number(text, /REG:(\d+)/),
    stack: number(text, /STACK:(\d+)/),
    shared: number(text, /SHARED:(\d+)/),
    threads: number(bounds.get(name), /EIATTR_MAX_THREADS\s+Format:\s+\S+\s+Value:\s+(0x[0-9a-f]+)/),
  });
  return new Map(
    [...functions(usage, /^ Function (\S+):$/gm)]
      .filter(([name]) => bounds.has(name))
      .map(([name, text]) => [name, read(name, text)]),
  );
}

/**
 * The body of the loop with the most instructions of this name, from the target of its backward branch to the branch.
 * If such loops are nested, the innermost one is returned.
 */
export function mainLoop(code: readonly Instruction[], product: string): Instruction[] {
  const loops = code
    .filter(({ name }) => name.startsWith('BRA'))
    .map(({ address, operands }) => ({
      begin: parseInt(/0x[0-9a-f]+$/.exec(operands)?.[0] ?? 'ffffffff', 16),
      end: address,
    }))
    .filter(({ begin, end }) => begin < end)
    .map(({ begin, end }) => code.filter(({ address }) => begin <= address && address <= end));
  const products = (loop: readonly Instruction[]): number => loop.filter(({ name }) => name.startsWith(product)).length;
  const best = loops.toSorted((a, b) => products(b) - products(a) || a.length - b.length)[0];
  return best && products(best) > 0 ? best : [];
}

export interface LoopCost {
  /** The number of instructions in the main loop, divided by the number of product instructions in it. */
  readonly instructions: number;
  /** The sum of the stall counts: the least time that one warp takes, if it never has to wait for memory. */
  readonly cycles: number;
}

export function costOf(loop: readonly Instruction[], product: string): LoopCost | undefined {
  const products = loop.filter(({ name }) => name.startsWith(product)).length;
  if (products === 0) return undefined;
  const cycles = loop.reduce((sum, { stall }) => sum + stall, 0);
  return { instructions: loop.length / products, cycles: cycles / products };
}
