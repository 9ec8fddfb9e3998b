/**
 * Makes the API reference from the comments of what the package exports, in build/docs, and checks that every link in it leads to a page
 * and a place that are there: `npm run docs`. TypeDoc needs an older TypeScript than the project's; docs/reference/ has a package of its
 * own for both, which is installed on the first run.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { build, root, say, stop } from './native.ts';

const folder = join(root, 'docs/reference');
const pages = join(build, 'docs');

function run(...command: readonly string[]): void {
  const { exitCode } = Bun.spawnSync([...command], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
  if (exitCode !== 0) stop(`${command.join(' ')} failed in ${relative(root, folder)}`);
}

/** Newer than the lock file if it was installed after it last changed. */
const installed = join(folder, 'node_modules/.package-lock.json');
const lock = join(folder, 'package-lock.json');
const isInstalled = (): boolean => existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;

interface Page {
  readonly links: readonly string[];
  readonly anchors: ReadonlySet<string>;
}
const entities: Readonly<Record<string, string>> = { amp: '&', quot: '"', lt: '<', gt: '>', '#39': "'" };
const text = (attribute: string): string =>
  attribute.replace(/&([\w#]+);/g, (all, name: string) => entities[name] ?? all);
const attributes = (html: string, names: string): string[] =>
  [...html.matchAll(new RegExp(`\\s(?:${names})="([^"]*)"`, 'g'))].map(([, value]) => text(value!));
const known = new Map<string, Page>();
function pageAt(path: string): Page {
  const found = known.get(path);
  if (found) return found;
  const html = readFileSync(path, 'utf8');
  const page = { links: attributes(html, 'href|src'), anchors: new Set(attributes(html, 'id|name')) };
  known.set(path, page);
  return page;
}

/** Why a link of a page leads nowhere, or null. Links to other sites are not followed. */
export function fault(page: string, link: string): string | null {
  if (/^(https?|data|mailto):/.test(link)) return null;
  const [place, anchor = ''] = link.split('#') as [string, string?];
  const target = place === '' ? page : resolve(dirname(page), decodeURIComponent(place));
  if (!existsSync(target)) return 'there is no such file';
  if (anchor === '' || !target.endsWith('.html')) return null;
  return pageAt(target).anchors.has(decodeURIComponent(anchor)) ? null : 'the page has no such place';
}

if (import.meta.main) {
  if (!isInstalled()) run('npm', 'ci');
  run(join(folder, 'node_modules/.bin/typedoc'), '--options', 'typedoc.json', '--logLevel', 'Warn');
  const files = [...new Bun.Glob('**/*.html').scanSync(pages)].map(file => join(pages, file)).toSorted();
  let links = 0;
  const broken = files.flatMap(file =>
    [...new Set(pageAt(file).links)].flatMap(link => {
      links++;
      const why = fault(file, link);
      return why === null ? [] : [`${relative(pages, file)}: ${link}: ${why}`];
    }),
  );
  for (const line of broken) console.log(line);
  say(`${files.length} pages in ${relative(process.cwd(), pages)}, ${links} links, ${broken.length} of them broken`);
  process.exit(broken.length === 0 && files.length > 100 ? 0 : 1);
}
