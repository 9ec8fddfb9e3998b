/** What each test file has: the registry, and users who install from it. */
import { afterAll } from 'bun:test';
import { root } from '../native.ts';
import { newUser, type User } from './project.ts';

export { root };
export const VERSION = ((await Bun.file(`${root}/package.json`).json()) as { version: string }).version;
export const url = process.env.CASTOR_TEST_REGISTRY ?? '';
if (!url) throw new Error('CASTOR_TEST_REGISTRY is not set: npm run test:packages starts a registry and these tests');

const users: User[] = [];
/** A user with empty caches, who is removed after the tests. */
export function user(): User {
  const made = newUser(url);
  users.push(made);
  return made;
}
afterAll(() => users.forEach(each => each.remove()));
