/** What editors show of Castor's public names: asked of the language services of TypeScript 5.9 and of the newest one. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript-5.9';
import { root } from './process.ts';

/** A file that is in no folder: it stands in the root of the repository as far as the services know. */
const FILE = join(root, 'hoverProbe.ts');
const NAMESPACES = ['nn', 'optim', 'io', 'data', 'train', 'autograd', 'graph'] as const;
/** The objects whose properties are public names. */
const OBJECTS = ['F', 'memory', 'warnings', 'autocast', 'init', ...NAMESPACES, 'castor'] as const;
const HEAD = `import * as castor from 'castor';
import { autocast, F, memory, warnings, ${NAMESPACES.join(', ')} } from 'castor';
const { init } = nn;
declare function instance<T>(type: abstract new (...args: any[]) => T): T;
`;

/** What a service shows where a name is used. */
export interface Shown {
  readonly signature: string;
  readonly documentation: string;
}
/** A public name, as `owner.name`, and where it is used in the text that the services are asked about. */
export interface Use {
  readonly owner: string;
  readonly name: string;
  readonly at: number;
}

/** The language service of 5.9 over one text of FILE that changes. */
function service(): { readonly ask: ts.LanguageService; write(text: string): void } {
  const config = ts.readConfigFile(join(root, 'tsconfig.json'), path => ts.sys.readFile(path)).config as object;
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  let [text, version] = [HEAD, 0];
  const ask = ts.createLanguageService({
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    getScriptFileNames: () => [FILE],
    getScriptVersion: path => (path === FILE ? String(version) : '0'),
    getScriptSnapshot: path => {
      if (path !== FILE && !existsSync(path)) return undefined;
      return ts.ScriptSnapshot.fromString(path === FILE ? text : readFileSync(path, 'utf8'));
    },
    getCurrentDirectory: () => root,
    getCompilationSettings: () => options,
    getDefaultLibFileName: given => ts.getDefaultLibFilePath(given),
    fileExists: path => path === FILE || ts.sys.fileExists(path),
    readFile: path => (path === FILE ? text : ts.sys.readFile(path)),
  });
  return {
    ask,
    write: next => {
      text = next;
      version++;
    },
  };
}

const isPublic = (symbol: ts.Symbol): boolean =>
  /^[a-z]\w*$/i.test(symbol.name) &&
  symbol.name !== 'prototype' &&
  !symbol.getJsDocTags().some(({ name }) => name === 'internal');
/** Castor declares it: it is none of the properties of Error and Function. */
const isOwn = ({ declarations = [] }: ts.Symbol): boolean =>
  !declarations.some(declaration => declaration.getSourceFile().fileName.includes('node_modules'));

interface Owner {
  readonly name: string;
  readonly type: ts.Type;
  /** The statement that declares it in FILE, for instances of classes. */
  readonly declaration: string;
}
/** The objects that HEAD imports, and an instance of each class that is a property of one. */
function ownersOf(program: ts.Program): Owner[] {
  const checker = program.getTypeChecker();
  const symbols = checker.getSymbolsInScope(
    program.getSourceFile(FILE)!.endOfFileToken,
    ts.SymbolFlags.Alias | ts.SymbolFlags.Variable,
  );
  const original = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return OBJECTS.flatMap((name): Owner[] => {
    const type = checker.getTypeOfSymbol(original(symbols.find(symbol => symbol.name === name)!));
    const classes = checker.getPropertiesOfType(type).filter(symbol => original(symbol).flags & ts.SymbolFlags.Class);
    return [
      { name, type, declaration: '' },
      ...classes.map(symbol => ({
        name: `${name}${symbol.name}`,
        type: checker.getDeclaredTypeOfSymbol(original(symbol)),
        declaration: `const ${name}${symbol.name} = instance(${name}.${symbol.name});\n`,
      })),
    ];
  });
}

/** A text that uses every public name once, and where it does. What classes inherit is used where it is declared. */
export function uses(): { readonly text: string; readonly uses: readonly Use[]; readonly ask: ts.LanguageService } {
  const { ask, write } = service();
  const program = ask.getProgram()!;
  const owners = ownersOf(program);
  let text = HEAD + owners.map(({ declaration }) => declaration).join('');
  const seen = new Set<ts.Node | undefined>();
  const found = owners.flatMap(({ name: owner, type, declaration }) =>
    program
      .getTypeChecker()
      .getPropertiesOfType(type)
      .filter(symbol => isPublic(symbol) && isOwn(symbol))
      .filter(({ declarations: [first] = [] }) => declaration === '' || (!seen.has(first) && seen.add(first)))
      .map(({ name }): Use => {
        text += `${owner}.${name};\n`;
        return { owner, name, at: text.length - name.length - 2 };
      }),
  );
  write(text);
  return { text, uses: found, ask };
}

export const shownBy59 = (ask: ts.LanguageService, found: readonly Use[]): Shown[] =>
  found.map(({ at }) => {
    const info = ask.getQuickInfoAtPosition(FILE, at);
    return {
      signature: ts.displayPartsToString(info?.displayParts),
      documentation: ts.displayPartsToString(info?.documentation),
    };
  });

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly items?: readonly unknown[] };
  readonly result?: unknown;
  readonly error?: unknown;
}
/** Splits what a language server writes into messages: a header that says how many bytes follow, and JSON. */
function reader(take: (message: Message) => void): (chunk: Buffer) => void {
  let buffer = Buffer.alloc(0);
  return chunk => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      const start = buffer.indexOf('\r\n\r\n') + 4;
      const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, start).toString())?.[1]);
      if (start < 4 || buffer.length < start + length) return;
      take(JSON.parse(buffer.subarray(start, start + length).toString()) as Message);
      buffer = buffer.subarray(start + length);
    }
  };
}

interface Hover {
  readonly contents: { readonly value: string };
}
/** The newest TypeScript's server, asked for all names at once. Its answer is a block of code, and the documentation below it. */
export async function shownByServer(text: string, found: readonly Use[]): Promise<Shown[]> {
  const program = join(root, 'node_modules/@typescript/typescript-linux-x64/lib/tsc');
  const server = spawn(program, ['--lsp', '--stdio'], { cwd: root, stdio: ['pipe', 'pipe', 'ignore'] });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  const send = (message: object): void => {
    const body = JSON.stringify({ jsonrpc: '2.0', ...message });
    server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  };
  const request = (method: string, params: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      waiting.set(waiting.size, { resolve, reject });
      send({ id: waiting.size - 1, method, params });
    });
  const read = reader(({ id, method, params, result, error }) => {
    // It asks for settings, of which there are none.
    if (method !== undefined && id !== undefined) send({ id, result: params?.items?.map(() => null) ?? null });
    else if (error !== undefined) waiting.get(id!)?.reject(error);
    else if (id !== undefined) waiting.get(id)?.resolve(result);
  });
  server.stdout.on('data', read);
  const stopped = new Promise<never>((_, reject) =>
    server.on('exit', code => reject(new Error(`it ended with ${code}`))),
  );
  try {
    return await Promise.race([stopped, hovers(request, send, text, found)]);
  } finally {
    stopped.catch(() => {});
    server.kill();
  }
}

async function hovers(
  request: (method: string, params: object) => Promise<unknown>,
  send: (message: object) => void,
  text: string,
  found: readonly Use[],
): Promise<Shown[]> {
  const uri = `file://${FILE}`;
  const hover = { contentFormat: ['markdown', 'plaintext'] };
  await request('initialize', {
    processId: process.pid,
    rootUri: `file://${root}`,
    capabilities: { textDocument: { hover } },
  });
  send({ method: 'initialized', params: {} });
  send({
    method: 'textDocument/didOpen',
    params: { textDocument: { uri, languageId: 'typescript', version: 1, text } },
  });
  const firstLine = text.slice(0, found[0]!.at).split('\n').length - 1;
  return Promise.all(
    found.map(async ({ owner }, i) => {
      const position = { line: firstLine + i, character: owner.length + 1 };
      const answer = (await request('textDocument/hover', { textDocument: { uri }, position })) as Hover | null;
      const [, signature = '', documentation = ''] =
        /^```\w+\n([\s\S]*?)```([\s\S]*)$/.exec(answer?.contents.value ?? '') ?? [];
      return { signature, documentation: documentation.trim() };
    }),
  );
}
