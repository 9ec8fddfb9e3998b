/**
 * The runner of `bun:test`, for runtimes that do not have it: describe() and test() collect, runAll() runs in the order of the file. Node's
 * own runner, node:test, runs under another async context for each test and has no test.each().
 */
import { inspect } from 'node:util';

type Body = () => unknown;
type Hook = 'beforeAll' | 'afterAll' | 'beforeEach' | 'afterEach';
interface Test {
  readonly name: string;
  readonly body: Body;
  readonly limit: number | undefined;
  readonly concurrent: boolean;
}
class Group {
  readonly name: string;
  readonly parent: Group | null;
  readonly items: (Test | Group)[] = [];
  readonly hooks: Record<Hook, Body[]> = { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] };
  constructor(name: string, parent: Group | null) {
    this.name = name;
    this.parent = parent;
  }
  /** The hooks of this group and of those around it; the outermost comes first. */
  all(hook: Hook): Body[] {
    return [...(this.parent?.all(hook) ?? []), ...this.hooks[hook]];
  }
}

const root = new Group('', null);
let here = root;
let limit = 60_000;
/** The time limit of tests that have none of their own, in milliseconds. */
export const setDefaultTimeout = (milliseconds: number): void => void (limit = milliseconds);

const hook =
  (name: Hook) =>
  (body: Body): void =>
    void here.hooks[name].push(body);
export const [beforeAll, afterAll] = [hook('beforeAll'), hook('afterAll')];
export const [beforeEach, afterEach] = [hook('beforeEach'), hook('afterEach')];

function addGroup(name: string, body: Body): void {
  const group = new Group(name, here);
  here.items.push(group);
  here = group;
  const result = body();
  here = group.parent!;
  if (result instanceof Promise) throw new Error(`describe('${name}') is async, which this runner does not know`);
}
type Options = number | { timeout?: number };
const addTest =
  (concurrent: boolean) =>
  (name: string, body: Body, options?: Options): void => {
    const own = typeof options === 'object' ? options.timeout : options;
    here.items.push({ name, body, limit: own, concurrent });
  };

type Add = (name: string, body: Body, options?: Options) => void;
type Row = (...row: never[]) => unknown;
type Each = (rows: readonly unknown[]) => (name: string, body: Row, options?: Options) => void;
/** %p and %o show an argument, %s is its text, %# the number of the row, $key a property of the row. */
function nameWith(name: string, args: readonly unknown[], row: number): string {
  const left = args.values();
  const show = (value: unknown): string =>
    typeof value === 'string' ? value : inspect(value, { breakLength: Infinity });
  const property = (key: string): string => show((args[0] as Record<string, unknown> | undefined)?.[key]);
  return name
    .replaceAll(/\$(\w+)/g, (_, key: string) => property(key))
    .replaceAll(/%[psdifjoO#]/g, mark => (mark === '%#' ? String(row) : show(left.next().value)));
}
/** test.each and describe.each: a row that is an array is the list of arguments. */
const eachOf =
  (add: Add): Each =>
  rows =>
  (name, body, options) =>
    rows.forEach((row, i) => {
      const args = (Array.isArray(row) ? row : [row]) as never[];
      add(nameWith(name, args, i), () => body(...args), options);
    });
const nothing: Add = () => {};
const withForms = (add: Add): Add & { each: Each } => Object.assign(add.bind(null), { each: eachOf(add) });
type Forms = Add & { each: Each };
const onlyIf =
  (add: Add, wanted: boolean) =>
  (condition: unknown): Forms =>
    withForms(Boolean(condition) === wanted ? add : nothing);
const allForms = (add: Add): Forms & { if: (condition: unknown) => Forms; skipIf: (condition: unknown) => Forms } =>
  Object.assign(withForms(add), { if: onlyIf(add, true), skipIf: onlyIf(add, false) });

export const describe = allForms(addGroup);
export const test = Object.assign(allForms(addTest(false)), { concurrent: withForms(addTest(true)) });
export const it = test;

/** Runs what may wait for ever. */
async function within(milliseconds: number, body: Body): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it takes longer than ${milliseconds} ms`)), milliseconds);
  });
  try {
    await Promise.race([body(), late]);
  } finally {
    clearTimeout(timer);
  }
}

const counts = { passed: 0, failed: 0 };
function fails(name: string, error: unknown): void {
  counts.failed++;
  console.log(`(fail) ${name}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
}
async function runTest(group: Group, test: Test, path: string): Promise<void> {
  try {
    for (const body of group.all('beforeEach')) await within(limit, body);
    try {
      await within(test.limit ?? limit, test.body);
    } finally {
      for (const body of group.all('afterEach').toReversed()) await within(limit, body);
    }
    counts.passed++;
  } catch (error) {
    fails(`${path}${test.name}`, error);
  }
}

async function runItems(group: Group, path: string): Promise<void> {
  let together: Promise<void>[] = [];
  for (const item of group.items) {
    const concurrent = !(item instanceof Group) && item.concurrent;
    if (!concurrent) {
      await Promise.all(together);
      together = [];
    }
    if (item instanceof Group) await runGroup(item, `${path}${item.name} > `);
    else if (concurrent) together.push(runTest(group, item, path));
    else await runTest(group, item, path);
  }
  await Promise.all(together);
}
async function runGroup(group: Group, path: string): Promise<void> {
  try {
    for (const body of group.hooks.beforeAll) await within(limit, body);
    await runItems(group, path);
  } catch (error) {
    fails(`${path}beforeAll`, error);
  }
  for (const body of group.hooks.afterAll)
    await within(limit, body).catch((error: unknown) => fails(`${path}afterAll`, error));
}

/** Runs everything that was collected and returns the counts. */
export async function runAll(): Promise<{ passed: number; failed: number }> {
  await runGroup(root, '');
  return counts;
}
