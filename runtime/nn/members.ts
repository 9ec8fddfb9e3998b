import { cut, shown } from '../shown.ts';
import { ArgumentError } from '../errors.ts';
import { noteChange } from '../tensor/graphCapture.ts';
import { keep } from '../tensor/scope.ts';
import { Tensor } from '../tensor/tensor.ts';
import { WeakList } from '../tensor/weakList.ts';

/** The role of a tensor in a module. Buffers that are not persistent are not part of its state. */
export interface Role {
  readonly kind: 'parameter' | 'buffer';
  readonly persistent: boolean;
}
const PARAMETER: Role = { kind: 'parameter', persistent: true };

/**
 * The roles of the tensors that belong to modules. A tensor without a role is not part of any module, wherever it is
 * stored.
 */
const roles = new WeakMap<Tensor, Role>();
export const roleOf = (t: Tensor): Role | null => roles.get(t) ?? null;
export const isParameter = (value: unknown): value is Tensor =>
  value instanceof Tensor && roles.get(value)?.kind === 'parameter';
export const markParameter = (t: Tensor): void => void roles.set(t, PARAMETER);
/** @throws ArgumentError for a parameter, which cannot be a buffer as well */
export function markBuffer(t: Tensor, persistent: boolean): void {
  if (isParameter(t))
    throw new ArgumentError('a parameter cannot be a buffer as well', {
      op: 'nn.Buffer',
      advice: 'Pass a clone of it',
    });
  roles.set(t, { kind: 'buffer', persistent });
}

/**
 * The roles that the properties of each module have or had. They show that a plain tensor assigned in place of a
 * parameter is a mistake.
 */
const registries = new WeakMap<object, Map<PropertyKey, Role>>();
const modules = new WeakList<object>();
export function registerModule(module: object): void {
  registries.set(module, new Map());
  modules.add(module);
}
export const isModule = (value: unknown): value is object => registries.has(value as object);
/** The modules that are not collected yet. */
export const liveModules = (): Iterable<object> => modules;

const isPart = (value: unknown): value is object => isParameter(value) || isModule(value);

/** A value and where the traversal has found it. */
interface TreeNode {
  readonly parent: TreeNode | null;
  readonly key: unknown;
  readonly value: object;
  /** The names that lead to it, joined by dots, or null until they are needed. */
  path: string | null;
}
/** A module, parameter or buffer of a model. */
interface Found {
  /** Its name: the properties, indices and keys that lead to it, with dots between them. '' for the model itself. */
  readonly path: string;
  readonly value: object;
  /** null for a module. */
  readonly role: Role | null;
}

/**
 * The modules, parameters and buffers of a model, depth first: in properties, and in arrays, plain objects, Maps and
 * Sets of any depth. Each is yielded once, under the first name that leads to it, or under every name with `aliases`.
 * Getters are not called, and private fields cannot be seen.
 * @throws ArgumentError for a part that has no name or the name of another part, and for a part inside an object of a
 * class that is not a Module
 */
export function* walk(root: object, aliases = false): Generator<Found> {
  const seen = new Set<object>();
  const paths = new Set<string>();
  const hidden: TreeNode[] = [];
  const stack: TreeNode[] = [{ parent: null, key: '', value: root, path: '' }];
  while (stack.length > 0) {
    const node = stack.pop()!;
    const { value } = node;
    if (aliases ? encloses(node.parent, value) : seen.has(value)) continue;
    const role = value instanceof Tensor ? roleAt(node, value) : null;
    if (role !== null || isModule(value)) yield { path: uniquePath(node, paths), value, role };
    else refuseProxy(node);
    if (role === null && value instanceof Tensor) continue;
    seen.add(value);
    if (role === null) descend(node, stack, hidden);
  }
  for (const node of hidden) if (!seen.has(node.value)) refuseHidden(node);
}

/**
 * Puts the children of a module or container on the stack, the first on top. Children in places that are not traversed
 * go to `hidden`.
 */
function descend(node: TreeNode, stack: TreeNode[], hidden: TreeNode[]): void {
  const { value } = node;
  const children = childrenOf(node);
  if (isModule(value) || isContainer(value)) for (let i = children.length - 1; i >= 0; i--) stack.push(children[i]!);
  else hidden.push(...children.filter(child => isPart(child.value)));
  if (value instanceof Map)
    for (const key of value.keys()) if (isPart(key)) hidden.push({ parent: node, key, value: key, path: null });
}

/**
 * A Proxy of a module or tensor, such as a reactive framework creates, passes instanceof but cannot be part of a model.
 */
function refuseProxy({ key, parent, value }: TreeNode): void {
  const known = value instanceof Tensor ? Tensor.isGenuine(value) : !('registerParameter' in value) || isModule(value);
  if (!known)
    throw new ArgumentError(`${parent === null ? 'the model' : shown(key)} is a Proxy of a module or tensor`, {
      op: 'Module',
      advice: 'Keep models out of reactive objects, for example with markRaw()',
    });
}

/** Is a value on the path to a node? Then there is a cycle. */
function encloses(node: TreeNode | null, value: object): boolean {
  for (let at = node; at !== null; at = at.parent) if (at.value === value) return true;
  return false;
}

/** Is an object an array, a Map, a Set or an object without a class? */
export function isContainer(value: object): boolean {
  if (Array.isArray(value) || value instanceof Map || value instanceof Set) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The objects that are directly in a module or container. */
function childrenOf(parent: TreeNode): TreeNode[] {
  const { value: container } = parent;
  const children: TreeNode[] = [];
  const add = (value: unknown, key: unknown): void => {
    if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value))
      children.push({ parent, key, value, path: null });
  };
  if (Array.isArray(container)) container.forEach(add);
  else if (container instanceof Map) container.forEach(add);
  else if (container instanceof Set) [...container].forEach(add);
  // Listing the properties of a long array takes a hundred times as long as visiting its items.
  if (Array.isArray(container)) return children;
  const registry = registries.get(container);
  for (const key of Reflect.ownKeys(container)) add(propertyOf(container, key, registry), key);
  return children;
}

/** The value of a property, unless it is a getter that the user defined. */
function propertyOf(owner: object, key: PropertyKey, registry: ReadonlyMap<PropertyKey, Role> | undefined): unknown {
  if (registry?.has(key)) return Reflect.get(owner, key);
  return Object.getOwnPropertyDescriptor(owner, key)!.value;
}

/** The role of a tensor in its module, or null if it has none. */
function roleAt({ parent, key }: TreeNode, t: Tensor): Role | null {
  const registry = parent && registries.get(parent.value);
  const own = roles.get(t);
  if (own) {
    registry?.set(key as PropertyKey, own);
    return own;
  }
  const before = registry?.get(key as PropertyKey);
  if (!before) return null;
  return adopted(t, before, String(key));
}

/**
 * A plain tensor assigned in place of a buffer becomes the buffer. In place of a parameter it would not be trained, so
 * it is refused.
 */
function adopted(t: Tensor, role: Role, name: string): Role {
  if (role.kind === 'parameter')
    throw new ArgumentError(
      `${shown(name)} is a parameter of this module, but was assigned a tensor that is not a parameter`,
      {
        op: 'Module',
        shapes: [t.shape],
        advice: `Write into the parameter, noGrad(() => module.${cut(name)}.copy_(t)), or assign nn.Parameter(t)`,
      },
    );
  markBuffer(keep(t), role.persistent);
  return role;
}

/**
 * The names that lead to a node. The nodes on the path get their names too, without recursion, because a path may be
 * long.
 */
function pathOf(node: TreeNode): string {
  const unnamed: TreeNode[] = [];
  for (let at: TreeNode | null = node; at !== null && at.path === null; at = at.parent) unnamed.push(at);
  while (unnamed.length > 0) {
    const at = unnamed.pop()!;
    const before = at.parent!.path!;
    at.path = before === '' ? nameOf(at.key) : `${before}.${nameOf(at.key)}`;
  }
  return node.path!;
}

function nameOf(key: unknown): string {
  const named = typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint';
  const name = named ? String(key) : '';
  if (name === '' || name.includes('.'))
    throw new ArgumentError(`${shown(key)} cannot be part of the name of a parameter or module`, {
      op: 'Module',
      advice: 'Use property names and Map keys without a dot, or numbers',
    });
  return name;
}

/** Only keys of a Map can be different and have the same name. */
function uniquePath(node: TreeNode, paths: Set<string>): string {
  const path = pathOf(node);
  if (paths.has(path))
    throw new ArgumentError(`two parts of the model have the name ${shown(path)}`, {
      op: 'Module',
      advice: 'Use keys whose names differ: 1 and "1" have the same name',
    });
  paths.add(path);
  return path;
}

function refuseHidden({ key, parent, value }: TreeNode): never {
  if (key === value)
    throw new ArgumentError('a module or parameter is a key of a Map: it would be left out of the model', {
      op: 'Module',
      advice: 'Store it as a value of the Map, or also as a property',
    });
  const holder = parent!.value.constructor?.name || 'an object';
  const what = isModule(value) ? 'module' : 'parameter';
  throw new ArgumentError(
    `the ${what} ${shown(key)} lies in a ${cut(holder)}, which is not a Module: it would be left out of the model`,
    {
      op: 'Module',
      advice: `Let ${cut(holder)} extend nn.Module, or keep it in a private field (#name) if it is not part of the model`,
    },
  );
}

/** Defines a property of a module that holds a parameter or buffer, and refuses other values. */
export function register(module: object, name: string, value: Tensor | null, role: Role): void {
  checkName(module, name);
  if (registries.get(module)!.has(name)) noteChange();
  let held: Tensor | null = null;
  const set = (next: Tensor | null | undefined): void => {
    const before = held;
    held = accepted(next ?? null, name, role);
    if (held !== before) noteChange();
  };
  held = accepted(value ?? null, name, role);
  registries.get(module)!.set(name, role);
  Object.defineProperty(module, name, { get: () => held, set, enumerable: true, configurable: true });
}

function accepted(value: Tensor | null, name: string, role: Role): Tensor | null {
  if (value === null || (role.kind === 'parameter' ? isParameter(value) : roles.has(value))) return value;
  if (!(value instanceof Tensor))
    throw new ArgumentError(`the ${role.kind} ${shown(name)} cannot be ${shown(value)}`, {
      op: 'Module',
      advice: 'Assign a tensor, or null for none',
    });
  adopted(value, role, name);
  return value;
}

function checkName(module: object, name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '' || name.includes('.'))
    throw new ArgumentError(`${shown(name)} is not a name for a parameter or buffer`, {
      op: 'Module',
      advice: 'Pass a string without a dot',
    });
  if (!registries.get(module)!.has(name) && (Reflect.get(module, name) ?? null) !== null)
    throw new ArgumentError(`the module has a property ${shown(name)} already`, {
      op: 'Module',
      advice: 'Choose another name',
    });
}
