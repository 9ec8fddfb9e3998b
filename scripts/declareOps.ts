/**
 * Writes runtime/ops/declarations.ts, which declares every function of F and every method of Tensor that an op makes: `npm
 * run declare`. Names, parameters and documentation are those of the rows of runtime/ops/table.ts and of the functions of
 * runtime/ops/. Editors show no documentation for what a mapped type declares, and conditional types where a method is derived from its
 * function: so both are written out. A test holds the file to its sources.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import ts from 'typescript-5.9';
import { functionTable, table, type OpName } from '../runtime/ops/table.ts';

const FOLDER = resolve(import.meta.dir, '../runtime/ops');
export const FILE = join(FOLDER, 'declarations.ts');
export const COMMAND = 'npm run declare';

/** A function as it is written: texts of its parts. */
interface Written {
  readonly documentation: string;
  readonly forms: readonly Form[];
}
/** One way to call it. */
interface Form {
  readonly typeParameters: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly result: string;
}
interface Parameter {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly rest: boolean;
  /** The default, if it is one word in the code. */
  readonly fallback?: string;
}
/** A member of one of the two interfaces. */
interface Member extends Written {
  readonly name: string;
}

// ---- reading -------------------------------------------------------------------------------------------------------

// The files are parsed, not loaded: they would want a native library that has all of their ops.
const parse = (path: string): ts.SourceFile =>
  ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
const files = readdirSync(FOLDER)
  .filter(name => name.endsWith('.ts') && join(FOLDER, name) !== FILE)
  .toSorted()
  .map(name => parse(join(FOLDER, name)));

/** The documentation above a statement or a row, in one line. */
function documentationOf(node: ts.Node): string {
  const comment = ts.getJSDocCommentsAndTags(node).findLast(ts.isJSDoc);
  if (comment === undefined) return '';
  const lines = comment
    .getText()
    .replace(/^\/\*\*|\*\/$/g, '')
    .split('\n');
  return lines
    .map(line => line.replace(/^\s*\* ?/, '').trim())
    .join(' ')
    .trim();
}

/** Types that the declarations name, and the files that they come from. */
const imported = new Map<string, string>();

/** Returns the file from which a type name in a file comes; null for types of JavaScript itself. */
function originOf(file: ts.SourceFile, name: string): string | null {
  for (const statement of file.statements) {
    if (
      (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) &&
      statement.name.text === name
    ) {
      if (!statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
        throw new Error(`${file.fileName}: export ${name}, which the signature of an op names`);
      return `./${basename(file.fileName)}`;
    }
    const bindings = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings : undefined;
    if (bindings && ts.isNamedImports(bindings) && bindings.elements.some(element => element.name.text === name))
      return ((statement as ts.ImportDeclaration).moduleSpecifier as ts.StringLiteral).text;
  }
  return null;
}

/** The text of a type; notes what it names. An operand of a public function is never null. */
function typeText(node: ts.TypeNode, own: readonly string[]): string {
  const file = node.getSourceFile();
  const visit = (part: ts.Node): void => {
    if (ts.isTypeReferenceNode(part) && ts.isIdentifier(part.typeName) && !own.includes(part.typeName.text)) {
      const { text } = part.typeName;
      const origin = text === 'Operand' ? '../tensor/tensor.ts' : originOf(file, text);
      if (origin !== null) imported.set(text === 'Operand' ? 'Tensor' : text, origin);
    }
    part.forEachChild(visit);
  };
  visit(node);
  return node
    .getText()
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/\bOperand\b/g, 'Tensor | number');
}

/** The type of a parameter that has a default and no type. */
function typeOfDefault(initializer: ts.Expression): string {
  const text = initializer.getText();
  if (text === 'true' || text === 'false') return 'boolean';
  if (Number.isFinite(Number(text)) || ts.isBinaryExpression(initializer)) return 'number';
  throw new Error(`${initializer.getSourceFile().fileName}: give the parameter with the default ${text} a type`);
}

function parameterOf(node: ts.ParameterDeclaration, own: readonly string[]): Parameter {
  const fallback = node.initializer?.getText() ?? '';
  return {
    ...(/^(-?[\d.e-]+|true|false|'\w+')$/.test(fallback) && { fallback }),
    name: node.name.getText().replace(/^_/, ''),
    type: node.type ? typeText(node.type, own) : typeOfDefault(node.initializer!),
    optional: node.initializer !== undefined || node.questionToken !== undefined,
    rest: node.dotDotDotToken !== undefined,
  };
}

function formOf(node: ts.SignatureDeclaration): Form {
  const own = node.typeParameters ?? [];
  const names = own.map(({ name }) => name.text);
  for (const { constraint, default: fallback } of own)
    for (const type of [constraint, fallback]) if (type !== undefined) typeText(type, names);
  if (node.type === undefined)
    throw new Error(`${node.getSourceFile().fileName}: say what ${node.name?.getText()} returns`);
  return {
    typeParameters: own.map(parameter => parameter.getText()),
    // A rest parameter that only catches surplus arguments is declared as never.
    parameters: node.parameters
      .filter(({ type }) => type?.getText() !== 'never[]')
      .map(parameter => parameterOf(parameter, names)),
    result: typeText(node.type, names),
  };
}

/** The forms of a function that is given by its name: those of its overloads, where it has some. */
function formsOf(file: ts.SourceFile, name: string): Form[] {
  const declared = file.statements.filter(ts.isFunctionDeclaration).filter(statement => statement.name?.text === name);
  const overloads = declared.filter(({ body }) => body === undefined);
  return (overloads.length > 0 ? overloads : declared).map(formOf);
}

/** define(name, specs, fn) and composed(name, specs, fn). */
function definition(
  file: ts.SourceFile,
  node: ts.Expression | undefined,
): { name: string; forms: readonly Form[] } | null {
  if (node === undefined || !ts.isCallExpression(node) || !['define', 'composed'].includes(node.expression.getText()))
    return null;
  const [name, , fn] = node.arguments;
  const forms = ts.isIdentifier(fn!) ? formsOf(file, fn.text) : [formOf(fn as ts.ArrowFunction)];
  return { name: (name as ts.StringLiteral).text, forms };
}

/** The functions that a file of ops/ defines, by their public names. */
function definitionsIn(file: ts.SourceFile): [string, Written][] {
  return file.statements.filter(ts.isVariableStatement).flatMap((statement): [string, Written][] => {
    const defined = definition(file, statement.declarationList.declarations[0]!.initializer);
    return defined ? [[defined.name, { documentation: documentationOf(statement), forms: defined.forms }]] : [];
  });
}
const fileOf = (name: string): ts.SourceFile => files.find(({ fileName }) => basename(fileName) === name)!;
const functional = fileOf('functional.ts');

/** The object of this name in functional.ts: it is spread together from the files of ops/, whole or with some names left out. */
function definitionsSpreadInto(object: string): Map<string, Written> {
  const statements = functional.statements;
  const variables = statements
    .filter(ts.isVariableStatement)
    .flatMap(({ declarationList }) => [...declarationList.declarations]);
  const fileOfNamespace = (name: string): ts.SourceFile => {
    const rest = variables.find(
      variable =>
        ts.isObjectBindingPattern(variable.name) && variable.name.elements.some(part => part.name.getText() === name),
    );
    if (rest !== undefined) return fileOfNamespace(rest.initializer!.getText());
    const found = statements.find(
      statement =>
        ts.isImportDeclaration(statement) && statement.importClause?.namedBindings?.getText() === `* as ${name}`,
    );
    if (found === undefined) throw new Error(`${functional.fileName}: ${name} is no file of this folder`);
    return fileOf(basename(((found as ts.ImportDeclaration).moduleSpecifier as ts.StringLiteral).text));
  };
  const { initializer } = variables.find(({ name }) => name.getText() === object)!;
  const parts = (initializer as ts.ObjectLiteralExpression).properties.map(part =>
    (part as ts.SpreadAssignment).expression.getText(),
  );
  return new Map(parts.flatMap(part => definitionsIn(fileOfNamespace(part))));
}

/** The documentation of the rows of the table. */
function rowDocumentation(): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAssignment(node)) found.set(node.name.getText(), documentationOf(node));
    else node.forEachChild(visit);
  };
  visit(fileOf('table.ts'));
  return found;
}

// ---- what is known of the result -----------------------------------------------------------------------------------

/** The kinds of ops that only move elements, as dispatch/kinds.ts says. */
const moving = new Set(
  [...readFileSync(resolve(FOLDER, '../dispatch/kinds.ts'), 'utf8').matchAll(/^  (\w+): .*\bmoves: true/gm)].map(
    ([, kind]) => kind,
  ),
);

/** Returns the dtype rule of ops whose result does not depend on operands and autocast: moved elements, bool or int64; else null. */
function givesOf(name: string): 'moves' | 'bool' | 'int64' | null {
  if (Object.hasOwn(functionTable, name)) {
    const { gives } = functionTable[name as keyof typeof functionTable] as { gives?: 'moves' | 'answers' };
    return gives === 'answers' ? 'int64' : (gives ?? null);
  }
  const row = Object.hasOwn(table, name) ? table[name as OpName] : null;
  if (row === null) return null;
  if (moving.has(row.kind)) return 'moves';
  return row.result === 'bool' || row.result === 'int64' ? row.result : null;
}

const isTensor = (type: string): boolean => /^Tensor(\[\])?$/.test(type);
/** The form with the dtype of its result, where that is known: that of the first tensor, or a fixed one. */
function typed(form: Form, gives: ReturnType<typeof givesOf>): Form {
  if (gives === null || !isTensor(form.result)) return form;
  if (gives !== 'moves') return { ...form, result: form.result.replace('Tensor', `Tensor<'${gives}'>`) };
  const [first, ...others] = form.parameters;
  return {
    typeParameters: ['D extends DType', ...form.typeParameters],
    parameters: [{ ...first!, type: 'Tensor<D>' }, ...others],
    result: form.result.replace('Tensor', 'Tensor<D>'),
  };
}

// ---- members -------------------------------------------------------------------------------------------------------

/** PyTorch's names that are not Castor's in snake_case; null where PyTorch has no such function. */
const pytorchNames: Readonly<Record<string, string | null>> = {
  isNaN: 'isnan',
  isInf: 'isinf',
  isFinite: 'isfinite',
  logSumExp: 'logsumexp',
  logSigmoid: 'logsigmoid',
  isNaN_: null,
  isInf_: null,
  isFinite_: null,
  logSigmoid_: null,
  norm: 'linalg.vector_norm',
  slice: 'x[..., start:end:step]',
  at: 'x[index]',
  set_: 'x[index] = value',
  maxPool2dWithIndices: 'max_pool2d(return_indices=True)',
};
const snake = (name: string): string => name.replaceAll(/(?<=[a-z\d])[A-Z]/g, letter => `_${letter.toLowerCase()}`);
/** The documentation, with PyTorch's name at its end where that differs. */
function named(name: string, documentation: string): string {
  const theirs = pytorchNames[name] === undefined ? snake(name) : pytorchNames[name];
  return theirs === null || theirs === name ? documentation : `${documentation} PyTorch: \`${theirs}\`.`;
}

/** The documentation, with the defaults of optional arguments. */
function withDefaults({ documentation, forms }: Written): string {
  const given = forms.at(-1)!.parameters.filter(({ fallback }) => fallback !== undefined);
  if (given.length === 0) return documentation;
  return `${documentation} Default: ${given.map(({ name, fallback }) => `${name} = ${fallback}`).join(', ')}.`;
}

const operand: Omit<Parameter, 'name'> = { type: 'Tensor | number', optional: false, rest: false };
const x: Parameter = { name: 'x', type: 'Tensor', optional: false, rest: false };

/** The rows of the table that make functions by themselves. */
function rowFunctions(documentation: ReadonlyMap<string, string>): Map<string, Written> {
  const rows = Object.entries(table).filter(([, row]) => row.method);
  return new Map(
    rows.map(([name, { kind }]) => {
      const parameters =
        kind === 'unary'
          ? [x]
          : [
              { ...operand, name: 'a' },
              { ...operand, name: 'b' },
            ];
      return [
        name,
        { documentation: documentation.get(name)!, forms: [{ typeParameters: [], parameters, result: 'Tensor' }] },
      ];
    }),
  );
}

/** A function of a tensor as its method: the first parameter is the tensor itself, whose dtype is D. */
function asMethod({ typeParameters, parameters: [first, ...parameters], result }: Form): Form {
  const own = /^Tensor<(\w+)>$/.exec(first!.type)?.[1];
  return { typeParameters: typeParameters.filter(text => text.split(' ')[0] !== own), parameters, result };
}
const written = (form: Form): Form => ({ ...form, typeParameters: [], result: 'this' });

function rowMethods(rows: ReadonlyMap<string, Written>): Member[] {
  return [...rows].flatMap(([name, { documentation, forms }]): Member[] => {
    const { kind } = table[name as OpName];
    const here = kind === 'unary' ? documentation : `${documentation} a is this tensor.`;
    const over =
      kind === 'unary'
        ? 'The result is written over this tensor.'
        : 'a is this tensor, and the result is written over it.';
    const methods = forms.map(form => asMethod(typed(form, givesOf(name))));
    const out = { name, documentation: named(name, here), forms: methods };
    if (kind === 'compare') return [out];
    return [
      out,
      { name: `${name}_`, documentation: named(`${name}_`, `${documentation} ${over}`), forms: methods.map(written) },
    ];
  });
}

function members(): { methods: Member[]; functions: Member[] } {
  const rows = rowFunctions(rowDocumentation());
  const ofTensors = definitionsSpreadInto('methods');
  const inPlace = new Map(definitionsIn(fileOf('inplace.ts')));
  const map = (from: ReadonlyMap<string, Written>, change: (form: Form, name: string) => Form): Member[] =>
    [...from].map(([name, own]) => ({
      name,
      documentation: named(name, withDefaults(own)),
      forms: own.forms.map(form => change(form, name)),
    }));
  // A function of F that puts its arguments into another order than the method is declared in functional.ts.
  const reordered = [...ofTensors].flatMap(([name, own]): [string, Written][] => {
    const forms = formsOf(functional, name);
    return forms.length > 0 ? [[name, { ...own, forms }]] : [];
  });
  const functions = new Map([...ofTensors, ...definitionsSpreadInto('functions'), ...reordered, ...rows]);
  return {
    functions: map(functions, (form, name) => typed(form, givesOf(name))),
    methods: [
      ...rowMethods(rows),
      ...map(ofTensors, (form, name) => returnsItself(name, asMethod(typed(form, givesOf(name))))),
      ...map(inPlace, form => written(asMethod(form))),
    ],
  };
}
/** An in-place op returns the tensor that it writes to. */
const returnsItself = (name: string, form: Form): Form => (name.endsWith('_') ? written(form) : form);

// ---- writing -------------------------------------------------------------------------------------------------------

const WIDTH = 120;

/** A comment that is broken where it would be too long. */
function comment(text: string, indent: string): string {
  if (indent.length + text.length + 7 <= WIDTH) return `${indent}/** ${text} */`;
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.length - 1;
    if (indent.length + 3 + lines[last]!.length + word.length + 1 > WIDTH) lines.push(word);
    else lines[last] += lines[last] === '' ? word : ` ${word}`;
  }
  return [`${indent}/**`, ...lines.map(line => `${indent} * ${line}`), `${indent} */`].join('\n');
}

const parameterText = ({ name, type, optional, rest }: Parameter): string =>
  `${rest ? '...' : ''}${name}${optional && !rest ? '?' : ''}: ${type}`;

/** A signature as the formatter breaks it. */
function signatureText(name: string, { typeParameters, parameters, result }: Form): string {
  const generic = typeParameters.length > 0 ? `<${typeParameters.join(', ')}>` : '';
  const list = parameters.map(parameterText);
  const line = `  ${name}${generic}(${list.join(', ')}): ${result};`;
  return line.length <= WIDTH
    ? line
    : `  ${name}${generic}(\n${list.map(text => `    ${text},\n`).join('')}  ): ${result};`;
}
const memberText = ({ name, documentation, forms }: Member): string =>
  forms.map(form => `${comment(documentation, '  ')}\n${signatureText(name, form)}`).join('\n');

function importText(names: readonly string[], from: string): string {
  const line = `import type { ${names.join(', ')} } from '${from}';`;
  return line.length <= WIDTH ? line : `import type {\n${names.map(name => `  ${name},\n`).join('')}} from '${from}';`;
}

/** The whole file. */
export function declarations(): string {
  const { functions, methods: own } = members();
  imported.set('DType', '../tensor/dtype.ts').set('Tensor', '../tensor/tensor.ts');
  const origins = [...new Set(imported.values())].toSorted();
  const imports = origins.map(from =>
    importText([...imported.keys()].filter(name => imported.get(name) === from).toSorted(), from),
  );
  return `// Made by \`${COMMAND}\` from the table of ops and the functions of this folder; do not edit by hand.
${imports.join('\n')}

/** The methods of Tensor that are ops. */
export interface TensorMethods<D extends DType = DType> {
${own.map(memberText).join('\n')}
}

/** The functions of F. */
export interface Functions {
${functions.map(memberText).join('\n')}
}
`;
}

if (import.meta.main) {
  await Bun.write(FILE, declarations());
  console.log(`wrote ${relative(process.cwd(), FILE)}`);
}
