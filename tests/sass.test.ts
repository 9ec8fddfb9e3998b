import { describe, expect, test } from 'bun:test';
import { blocksOf, judge, nameOf, type Budgets, type Kernel } from '../scripts/sass/hot.ts';
import { costOf, instructionsOf, mainLoop, resourcesOf, type Instruction } from '../scripts/sass/machineCode.ts';

/** An instruction as cuobjdump prints it, with its stall count in the second word. */
const printed = (address: number, text: string, stall: number): string => `
        /*${address.toString(16).padStart(4, '0')}*/                   ${text} ;    /* 0x0000000000007918 */
                                                             /* 0x${(BigInt(stall) << 41n).toString(16).padStart(16, '0')} */`;

/** The output of cuobjdump for a kernel of these instructions, each with a stall of 2 cycles. */
const listing = (name: string, lines: readonly string[]): string =>
  `\n\t\tFunction : ${name}\n\t.headerflags\t@"EF_CUDA_SM90"${lines.map((text, i) => printed(16 * i, text, 2)).join('')}\n`;
const codeOf = (lines: readonly string[]): Instruction[] => instructionsOf(listing('k', lines)).get('k')!;

describe('machine code', () => {
  test('is read as cuobjdump prints it', () => {
    const text = `
	code for sm_90
		Function : _Z6kernelv
	.headerflags	@"EF_CUDA_SM90 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM90)"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                                               /* 0x00000a00ff017b82 */
                                                                                                        /* 0x000ff00000000800 */
        /*0010*/              @!P0 IMAD.WIDE R200, R6, 0x4, R2 ;                                        /* 0x0000000406c88825 */
                                                                                                        /* 0x000fca00078e0202 */
        /*0020*/                   EXIT ;                                                               /* 0x000000000000794d */
                                                                                                        /* 0x000fea0003800000 */
`;
    expect(instructionsOf(text).get('_Z6kernelv')).toEqual([
      { address: 0, name: 'LDC', operands: 'R1, c[0x0][0x28]', stall: 8 },
      { address: 16, name: 'IMAD.WIDE', operands: 'R200, R6, 0x4, R2', stall: 5 },
      { address: 32, name: 'EXIT', operands: '', stall: 5 },
    ]);
  });
  test('has resources and launch bounds', () => {
    const usage = `Resource usage:
 Common:
  GLOBAL:0
 Function _Z1av:
  REG:52 STACK:64 SHARED:1024 LOCAL:0 CONSTANT[0]:912 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function $helper:
  REG:8 STACK:0 SHARED:0 LOCAL:0
`;
    const elf = `.nv.info
	<0x1>
.nv.info._Z1av
	<0x1>
	Attribute:	EIATTR_MAX_THREADS
	Format:	EIFMT_SVAL
	Value:	0x200 0x1 0x1 
`;
    expect([...resourcesOf(usage, elf)]).toEqual([['_Z1av', { registers: 52, stack: 64, shared: 1024, threads: 512 }]]);
  });
  test('has a main loop: the innermost one with the most products', () => {
    const code = codeOf([
      'MOV R0, RZ', // 0x00
      'LDSM.16.M88.4 R4, [R2]', // 0x10: the outer loop begins
      'HMMA.16816.F32 R8, R4, R6, R8', // 0x20: the inner one
      'HMMA.16816.F32 R12, R4, R6, R12',
      'MOV R5, R6',
      '@P0 BRA 0x20', // 0x50
      '@P1 BRA 0x10', // 0x60
      '@P2 BRA 0x80', // a branch forward
      'EXIT',
    ]);
    const loop = mainLoop(code, 'HMMA');
    expect(loop.map(({ address }) => address)).toEqual([0x20, 0x30, 0x40, 0x50]);
    expect(costOf(loop, 'HMMA')).toEqual({ instructions: 2, cycles: 4 });
    expect(mainLoop(code, 'FFMA')).toEqual([]);
  });
  test('has names without namespaces and arguments', () => {
    const demangled =
      'void castor::cuda::tensor::gemm_tensor_kernel<castor::cuda::tensor::Tiling<castor::BFloat, 256, 128>, castor::Rows<(bool)1> >(castor::cuda::GemmProblem, int (*)(int))';
    expect(nameOf(demangled)).toBe('gemm_tensor_kernel<Tiling<BFloat 256 128> Rows<(bool)1>>');
    expect(nameOf('castor::cuda::(anonymous namespace)::gemm_axpy_kernel<float, 8>(int)')).toBe(
      'gemm_axpy_kernel<float 8>',
    );
  });
  test('fits on a multiprocessor as often as registers, threads and shared memory allow', () => {
    const blocks = (registers: number, threads: number, shared = 0): number =>
      blocksOf({ registers, threads, shared, stack: 0 });
    expect([blocks(255, 256), blocks(128, 256), blocks(195, 256), blocks(42, 256)]).toEqual([1, 2, 1, 5]);
    expect([blocks(32, 1024), blocks(16, 32), blocks(16, 64, 64 * 1024)]).toEqual([2, 32, 3]);
  });
});

describe('the check of machine code', () => {
  const memory = ['LDG.E.128 R4, [R2.64]', 'STG.E.128 [R2.64], R4', 'STG.E.64 [R2.64], R4', 'EXIT'];
  const loop = (...body: string[]): string[] => [...body, '@P0 BRA 0x0', ...memory];
  const product = ['HMMA.16816.F32 R8, R4, R6, R8', 'HMMA.16816.F32 R12, R4, R6, R12'];
  const tile = loop(
    'LDSM.16.M88.4 R4, [R2]',
    'LDGSTS.E.BYPASS.128 [R1], [R2.64], P1',
    'MUFU.EX2 R3, R3',
    'STS.128 [R1], R4',
    'LDS R1, [R2]',
    ...product,
  );
  const gemm =
    'gemm_tensor_kernel<Tiling<BFloat 256 128> Rows<Panel<BFloat 256 64 true> 256> Rows<Panel<BFloat 128 64 true> 256>>';
  const fine: Record<string, string[]> = {
    [gemm]: tile,
    'gemm_tensor_kernel<Tiling<float 64 64> Rows<Panel<float 64 32 false> 128> Rows<Panel<float 64 32 false> 128>>':
      tile,
    'gemm_tensor_kernel<Tiling<Half 64 64> Rows<Panel<Half 64 32 true> 128> Gather<Panel<Half 64 32 true> 64 128>>':
      tile,
    'gemm_simt_kernel<float 128 2 Rows<float 128 true> Rows<float 128 true>>': loop(
      'LDS.128 R4, [R2]',
      'FFMA R1, R2, R3, R1',
    ),
    'attention_tile_kernel<__half 64 false false>': tile,
    'attention_tile_kernel<__half 64 true false>': tile,
    'attention_tile_kernel<__half 32 true true>': tile,
    'attention_few_kernel<__half 64 false>': tile,
    ...Object.fromEntries(
      [
        'gemm_dot_kernel<float 8>',
        'patches_kernel',
        'softmax_kernel<float Half Team true>',
        'norm_kernel<float Half true>',
        'elementwise_kernel<float 2 binary_add<float>>',
        'norm_chunks_kernel<Batch<1> Square Sum>',
        'optimizer_kernel<Batch<4> AdamRule<4>>',
      ].map(name => [name, memory]),
    ),
  };
  const kernelOf = (name: string, lines: readonly string[], stack = 0): Kernel => ({
    name,
    file: 'a.cu',
    registers: 64,
    stack,
    shared: 0,
    threads: 128,
    code: codeOf(lines),
  });
  const kernelsOf = (all: Record<string, readonly string[]>): Kernel[] =>
    Object.entries(all).map(([name, lines]) => kernelOf(name, lines));
  const budgets: Budgets = Object.fromEntries(
    Object.entries(fine).flatMap(([name, lines]) => {
      const cost = costOf(mainLoop(codeOf(lines), lines === tile ? 'HMMA' : 'FFMA'), lines === tile ? 'HMMA' : 'FFMA');
      return cost ? [[name, cost] as const] : [];
    }),
  );
  const complaints = (kernels: readonly Kernel[], allowed = budgets): string[] =>
    judge(kernels, allowed).flatMap(({ kernel, complaints: each }) => each.map(text => `${kernel} ${text}`));
  const changed = (lines: readonly string[]): string[] => complaints(kernelsOf({ ...fine, [gemm]: lines }));

  test('is content with kernels within their budgets, and with a stack frame where no speed is promised', () => {
    expect(complaints([...kernelsOf(fine), kernelOf('sort_kernel<float>', memory, 64)])).toEqual([]);
  });
  test('finds a stack frame, and values in local memory', () => {
    const { [gemm]: _, ...others } = fine;
    expect(complaints([...kernelsOf(others), kernelOf(gemm, tile, 64)])).toEqual([
      `${gemm} has a stack frame of 64 bytes`,
    ]);
    expect(changed([...tile, 'LDL.64 R2, [R1]'])).toEqual([`${gemm} keeps values in local memory`]);
  });
  test('finds a copy that has become narrower', () => {
    expect(changed(tile.map(text => text.replace('LDGSTS.E.BYPASS.128', 'LDGSTS.E.64')))).toEqual([
      `${gemm} has no ^LDGSTS\\..*128$`,
    ]);
  });
  test('finds a move before each product', () => {
    const moves = tile.flatMap(text => (text.startsWith('HMMA') ? ['MOV R6, R9', text] : [text]));
    expect(changed(moves)).toEqual([
      `${gemm} needs 5.00 instructions for each HMMA, and its budget is 4.00`,
      `${gemm} needs 10.00 cycles for each HMMA, and its budget is 8.00`,
    ]);
  });
  test('asks for a new budget when a loop has become faster', () => {
    expect(changed(tile.filter(text => !text.startsWith('STS')))).toEqual([
      `${gemm} needs 3.50 instructions for each HMMA, and its budget is 4.00`,
      `${gemm} needs 7.00 cycles for each HMMA, and its budget is 8.00`,
    ]);
  });
  test('finds a loop that is not there, and one without a budget', () => {
    expect(changed(tile.filter(text => !text.includes('BRA')))).toEqual([`${gemm} has no loop with HMMA`]);
    const { [gemm]: _, ...others } = budgets;
    expect(complaints(kernelsOf(fine), others)).toEqual([`${gemm} has no budget`]);
  });
  test('finds kernels that are missing', () => {
    const { 'norm_kernel<float Half true>': _, [gemm]: __, ...others } = fine;
    expect(complaints(kernelsOf(others))).toEqual([
      "the group 'products' has no kernel",
      "the group 'norm' has no kernel",
      `${gemm} has a budget, and does not exist`,
    ]);
  });
});
