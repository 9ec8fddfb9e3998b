/** Asks the language services of TypeScript 5.9 and of the newest one what editors show of Castor's public names. */
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

/** The text that a service shows at a use of a name. */
export interface Shown {
  readonly signature: string;
  readonly documentation: string;
}
/** A public name, such as nn.Linear, and where it is used in the text that the services are asked about. */
export interface Use {
  readonly name: string;
  readonly kind: 'value' | 'constructor' | 'type';
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

/** Something with public properties: an object that HEAD imports, or an instance of a class or interface that is exported. */
interface Owner {
  readonly name: string;
  readonly type: ts.Type;
  /** The statement that declares it in FILE; empty for objects that are imported. */
  readonly declaration: string;
}
const isInternal = (node: ts.Node): boolean => ts.getJSDocTags(node).some(({ tagName }) => tagName.text === 'internal');

/** Returns what the objects of HEAD export, by the program of FILE. */
class Exports {
  readonly #checker: ts.TypeChecker;
  readonly #symbols: readonly ts.Symbol[];
  constructor(program: ts.Program) {
    this.#checker = program.getTypeChecker();
    const end = program.getSourceFile(FILE)!.endOfFileToken;
    this.#symbols = this.#checker.getSymbolsInScope(end, ts.SymbolFlags.Alias | ts.SymbolFlags.Variable);
  }

  #original(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(symbol) : symbol;
  }
  #symbolOf(object: string): ts.Symbol {
    return this.#original(this.#symbols.find(({ name }) => name === object)!);
  }
  /** The exports of a module that are of a kind. */
  #exported(object: string, flags: ts.SymbolFlags): { readonly name: string; readonly symbol: ts.Symbol }[] {
    const module = this.#symbolOf(object);
    if (!(module.flags & ts.SymbolFlags.Module)) return [];
    return this.#checker
      .getExportsOfModule(module)
      .map(symbol => ({ name: symbol.name, symbol: this.#original(symbol) }))
      .filter(({ symbol }) => symbol.flags & flags);
  }
  /** A module has its types too, which are no properties. */
  types(object: string): { readonly name: string; readonly symbol: ts.Symbol }[] {
    return this.#exported(object, ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias).filter(
      ({ symbol }) => !(symbol.flags & ts.SymbolFlags.Value),
    );
  }
  /** Classes that users make instances of. */
  constructible(object: string): string[] {
    return this.#exported(object, ts.SymbolFlags.Class).flatMap(({ name, symbol }) => {
      const declaration = symbol.declarations!.find(ts.isClassDeclaration)!;
      const own = declaration.members.find(ts.isConstructorDeclaration);
      const abstract = declaration.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.AbstractKeyword);
      return abstract || (own && isInternal(own)) ? [] : [name];
    });
  }
  owners(object: string): Owner[] {
    const classes = this.#exported(object, ts.SymbolFlags.Class).map(({ name, symbol }) => ({
      name: `${object}${name}`,
      type: this.#checker.getDeclaredTypeOfSymbol(symbol),
      declaration: `const ${object}${name} = instance(${object}.${name});\n`,
    }));
    const interfaces = this.types(object)
      .filter(({ symbol }) => symbol.flags & ts.SymbolFlags.Interface)
      .map(({ name, symbol }) => {
        const type = this.#checker.getDeclaredTypeOfSymbol(symbol) as ts.InterfaceType;
        const anys = type.typeParameters?.map(() => 'any').join(', ');
        const declaration = `declare const ${object}${name}: ${object}.${name}${anys ? `<${anys}>` : ''};\n`;
        return { name: `${object}${name}`, type, declaration };
      });
    const type = this.#checker.getTypeOfSymbol(this.#symbolOf(object));
    return [{ name: object, type, declaration: '' }, ...classes, ...interfaces];
  }
  properties({ type }: Owner): ts.Symbol[] {
    return this.#checker.getPropertiesOfType(type).filter(symbol => isPublic(symbol) && isOwn(symbol));
  }
}

/** A text that uses every public name once, and where it does. What classes inherit is used where it is declared. */
export function uses(): { readonly text: string; readonly uses: readonly Use[]; readonly ask: ts.LanguageService } {
  const { ask, write } = service();
  const all = new Exports(ask.getProgram()!);
  const owners = OBJECTS.flatMap(object => all.owners(object));
  let text = HEAD + owners.map(({ declaration }) => declaration).join('');
  const found: Use[] = [];
  /** Adds a statement in which the public name stands between two texts. */
  const use = (kind: Use['kind'], before: string, owner: string, name: string, after: string): void => {
    text += `${before}${owner}.${name}${after}\n`;
    const shownAs = kind === 'constructor' ? `new ${owner}.${name}` : `${owner}.${name}`;
    found.push({ name: shownAs, kind, at: text.length - 1 - after.length - name.length });
  };
  const seen = new Set<ts.Node | undefined>();
  for (const owner of owners)
    for (const { name, declarations: [first] = [] } of all.properties(owner)) {
      if (owner.declaration !== '' && seen.has(first)) continue;
      seen.add(first);
      use('value', '', owner.name, name, ';');
    }
  for (const object of OBJECTS) {
    for (const name of all.constructible(object)) use('constructor', 'new ', object, name, '();');
    for (const { name } of all.types(object)) use('type', `type ${object}${name} = `, object, name, ';');
  }
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
  return Promise.all(
    found.map(async ({ at }) => {
      const lines = text.slice(0, at).split('\n');
      const position = { line: lines.length - 1, character: lines.at(-1)!.length };
      const answer = (await request('textDocument/hover', { textDocument: { uri }, position })) as Hover | null;
      const [, signature = '', documentation = ''] =
        /^```\w+\n([\s\S]*?)```([\s\S]*)$/.exec(answer?.contents.value ?? '') ?? [];
      return { signature, documentation: documentation.trim() };
    }),
  );
}
