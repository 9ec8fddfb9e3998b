import { randomBytes } from 'node:crypto';
import { constants, readFileSync, realpathSync, type Stats } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { fileError, needPlainFile } from './files.ts';

const WHAT = 'cannot be saved';
const KEPT = '. The file that was there before is unchanged';

/** For each path, the end of the last save that was requested. */
const last = new Map<string, Promise<void>>();

/**
 * Writes a file so that at every moment either the old one or the new one exists, complete. The chunks are written to a
 * temporary file, which then replaces the old one. Missing folders are created. Calls for the same path run one after
 * the other, so that the last call wins.
 * @param size in bytes, of all chunks together
 * @throws CheckpointError with the reason that the system gives; the old file is then unchanged
 */
export function writeAtomically(
  op: string,
  path: string,
  size: number,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const key = canonical(path);
  const write = (): Promise<void> => replace(op, path, size, chunks);
  const before = last.get(key);
  const mine = before === undefined ? write() : before.then(write, write);
  last.set(key, mine);
  const over = (): void => void (last.get(key) === mine && last.delete(key));
  mine.then(over, over);
  return mine;
}

/** The same name for a file, by whichever path its folder is reached. */
function canonical(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path; // The folder does not exist yet.
  }
}

async function replace(op: string, path: string, size: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const folder = dirname(path);
  let aside: Aside | null = null;
  try {
    const old = await replaceable(op, path);
    checkLimit(op, path, size);
    await mkdir(folder, { recursive: true });
    await removeLeftovers(folder);
    aside = await createAside(folder, old ? 0o600 : 0o666);
    for await (const chunk of chunks) await writeAll(aside.file, chunk);
    if (old) await likeOld(aside.file, old);
    await aside.file.sync();
    await aside.file.close();
    await rename(aside.path, path);
    aside = null;
    await syncFolder(folder);
  } catch (error) {
    throw fileError(op, path, WHAT, error, KEPT);
  } finally {
    await aside?.file.close().catch(() => {});
    if (aside) await rm(aside.path, { force: true });
  }
}

/** The properties of the file that will be replaced, or null if there is none. */
async function replaceable(op: string, path: string): Promise<Stats | null> {
  const old = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (old === null) return null;
  needPlainFile(old, op, path, WHAT);
  await access(path, constants.W_OK);
  return old;
}

/** Gives the new file the mode of the old one, and its owner if this process is allowed to. */
async function likeOld(file: FileHandle, old: Stats): Promise<void> {
  if (process.geteuid?.() === 0) await file.chown(old.uid, old.gid);
  await file.chmod(old.mode & 0o7777);
}

/** Checks the limit on the size of files first, because a write beyond it would end the process with a signal. */
function checkLimit(op: string, path: string, size: number): void {
  const limit = /^Max file size +(\d+)/m.exec(limitsOfProcess())?.[1];
  if (limit !== undefined && size > Number(limit))
    throw new CheckpointError(`${path} ${WHAT}: it needs ${size} bytes, and a file may have ${limit} (EFBIG)`, {
      op,
      advice: `Raise the limit (ulimit -f)${KEPT}`,
    });
}

/** The limits as Linux lists them. Other systems do not tell. */
function limitsOfProcess(): string {
  try {
    return readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return '';
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
}

/**
 * Flushes the folder to disk. Without it, the renaming may be lost in a power failure. Some file systems cannot do
 * that, or do not permit it, and the new file is there nevertheless.
 */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY).catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

// ---- the temporary file ---------------------------------------------------------------------------------------------

interface Aside {
  readonly path: string;
  readonly file: FileHandle;
}

/**
 * The start time of a process in ticks since boot, or null if there is no such process, or no /proc. A process number may
 * be reused, but not with the same start time. It is read from the first thread, which has it too: an emulator of another processor, such as
 * qemu-user, makes up /proc/PID/stat for its own process with a time that other processes do not read there.
 */
function startOf(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
/** Not every program may know the name of its machine: Deno gives it with --allow-sys alone. */
function nameOfMachine(): string {
  try {
    return hostname()
      .replace(/[^A-Za-z0-9.]/g, '_')
      .slice(0, 64);
  } catch {
    return 'unnamed';
  }
}
const UNKNOWN = 'unknown';
const nameOfAside = (): string =>
  `.castor-save-${nameOfMachine()}-${process.pid}-${startOf(process.pid) ?? UNKNOWN}-${randomBytes(8).toString('hex')}.tmp`;
const ASIDE = /^\.castor-save-(.+)-(\d+)-(\w+)-[0-9a-f]{16}\.tmp$/;

/** Creates a file with a name that cannot be guessed. A file or link that already exists is never opened. */
async function createAside(folder: string, mode: number): Promise<Aside> {
  const path = join(folder, nameOfAside());
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  return { path, file: await open(path, flags, mode) };
}

const DAY = 24 * 3600 * 1000;

/**
 * Removes temporary files of processes that were killed while they saved. Files of other machines, and of processes whose
 * start is unknown, are removed after a day.
 */
async function removeLeftovers(folder: string): Promise<void> {
  const machine = nameOfMachine();
  // The folder may be writable but not readable, and then its files cannot be listed.
  for (const name of await readdir(folder).catch(() => [])) {
    const [, host, pid, start] = ASIDE.exec(name) ?? [];
    if (host === undefined) continue;
    const path = join(folder, name);
    const known = host === machine && start !== UNKNOWN;
    const dead = known ? startOf(Number(pid)) !== start : await olderThanADay(path);
    // Another process may have removed the file already, or it belongs to another user. Saving does not depend on it.
    if (dead) await rm(path, { force: true }).catch(() => {});
  }
}

const olderThanADay = (path: string): Promise<boolean> =>
  stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs > DAY,
    () => false,
  );
