/** The figures that ptxas gives for each kernel, by its mangled name, and wrong versions of them, which the check must notice. */
export interface Figures {
  readonly registers: number;
  /** Bytes of static shared memory. */
  readonly shared: number;
  /** The launch bounds. */
  readonly threads: number;
}
export type Table = Map<string, Figures>;

const altered = (table: Table, change: Partial<Figures>): Table =>
  new Map([...table].map(([symbol, figures]) => [symbol, { ...figures, ...change }]));

/** Tables with which the launches would be wrong, each with what the report must then contain. */
export const inject = (table: Table): [what: string, wrong: Table, found: RegExp][] => [
  ['too small launch bounds', altered(table, { threads: 32 }), /wrong: threads \d+ of 32; launch bounds;/],
  ['too many registers', altered(table, { registers: 300 }), /wrong: registers of a block \d+ of 65536;/],
  ['too much shared memory', altered(table, { shared: 48 * 1024 + 4 }), /wrong: shared bytes \d+ of 49152;/],
  ['a kernel without code', new Map(), / has no code for this architecture$/m],
];
