#!/usr/bin/env node
// Copies the template into a new folder: bun create castor FOLDER.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('.', import.meta.url));
const template = join(own, 'template');
const usage = 'Usage: bun create castor [FOLDER]    (the default is castor-project)';

function stop(text) {
  console.error(text);
  process.exit(1);
}

/** The version of this package, which is that of Castor too. */
const versionOf = () => JSON.parse(readFileSync(join(own, 'package.json'), 'utf8')).version;

/** A name that npm accepts. */
const packageName = folder =>
  basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '') || 'castor-project';

function checkEmpty(folder) {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (stat && !stat.isDirectory()) stop(`${folder} is a file; name a folder that does not exist yet`);
  const files = stat ? readdirSync(folder).filter(name => name !== '.git') : [];
  if (files.length > 0) stop(`${folder} is not empty: it has ${files.slice(0, 3).join(', ')}; name another folder`);
}

/** npm leaves .gitignore files out of packages, so that of the template has another name. */
const nameIn = name => (name === 'gitignore' ? '.gitignore' : name);

function create(folder) {
  checkEmpty(folder);
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(template)) copyFileSync(join(template, name), join(folder, nameIn(name)));
  const manifest = JSON.parse(readFileSync(join(template, 'package.json'), 'utf8'));
  const named = { name: packageName(folder), ...manifest, dependencies: { castor: `^${versionOf()}` } };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(named, null, 2)}\n`);
  const place = relative(process.cwd(), folder) || '.';
  console.log(
    `Made a project in ${place}. Next:\n\n    cd ${place}\n    bun install\n    bun test\n    bun train.ts\n    bun server.ts\n`,
  );
}

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  console.log(usage);
} else {
  const unknown = args.find(arg => arg.startsWith('-'));
  if (unknown !== undefined || args.length > 1) stop(`${unknown ?? args[1]} is one argument too many. ${usage}`);
  create(resolve(args[0] ?? 'castor-project'));
}
