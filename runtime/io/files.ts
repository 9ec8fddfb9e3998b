import { constants, type Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { cut, shown } from '../shown.ts';
import { ArgumentError, CheckpointError } from '../errors.ts';

/** The meaning of the operating system's error codes, with advice for each. */
const reasons: Readonly<Record<string, readonly [why: string, advice: string]>> = {
  ENOSPC: ['the disk is full', 'Free space on it, or choose another place'],
  EDQUOT: ['the disk quota is used up', 'Delete files of this user, or choose another place'],
  EFBIG: ['the file is larger than the system allows', 'Raise the limit (ulimit -f), or choose another file system'],
  EROFS: ['the file system is read-only', 'Choose another place'],
  EACCES: ['there is no permission', 'Check the permissions of the file and of its folder, or choose another path'],
  EPERM: ['the system does not permit it', 'Look at the permissions and attributes of the file and of its folder'],
  EISDIR: ['it is a folder', 'Name a file in it'],
  ENOTDIR: ['a part of the path that should be a folder is a file', 'Check the path'],
  EEXIST: ['a part of the path that should be a folder is a file', 'Check the path'],
  ENAMETOOLONG: ['the name is too long', 'Names of files may have 255 bytes, paths 4095'],
  ENOENT: ['a part of the path is not there', 'Check the path'],
  ELOOP: ['its symbolic links form a circle', 'Look at the links of the path'],
  EMFILE: ['too many files are open in this process', 'Close some, or raise the limit (ulimit -n)'],
  ENFILE: ['too many files are open on this machine', 'Close some'],
  EIO: ['the disk reports an error', 'Look at the disk and its connection'],
};

/** A path for messages. A path that is too long for any system is shortened. */
export const shownPath = (path: string): string => (path.length < 4096 ? path : cut(path));

/** The message and advice for an error of the file system, or null for any other error. */
export function systemReason(error: unknown): { why: string; advice: string } | null {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || typeof code !== 'string' || !/^E[A-Z0-9]+$/.test(code)) return null;
  const [why, advice] = reasons[code] ?? [cut(message), 'Look at the path and the disk'];
  return { why: `${why} (${code})`, advice };
}

/** Turns an error of the file system into a CheckpointError. Other errors are returned unchanged. */
export function fileError(op: string, path: string, what: string, error: unknown, more = ''): unknown {
  const reason = systemReason(error);
  if (reason === null) return error;
  return new CheckpointError(`${shownPath(path)} ${what}: ${reason.why}`, { op, advice: reason.advice + more });
}

/**
 * The absolute path of a file. @throws ArgumentError for anything that is not a path, such as the number of an open
 * file
 */
export function checkedPath(path: unknown, op: string): string {
  const wrong = wrongPath(path) ?? ((path as string).endsWith('/') ? `${shown(path)} is a folder` : null);
  if (wrong === null) return resolve(path as string);
  throw new ArgumentError(wrong, { op, advice: "Pass the path of a file as a string, such as 'run.safetensors'" });
}
/** The reason why a value is not a path, or null if it is one. */
export function wrongPath(path: unknown): string | null {
  if (typeof path !== 'string') return `${shown(path)} is not a path`;
  if (path === '') return 'the path is empty';
  return path.includes('\0') ? 'the path has a zero byte in it' : null;
}

/** The kinds of paths other than plain files, each with the method of Stats that recognises it. */
const kinds = [
  ['isDirectory', 'a folder'],
  ['isFIFO', 'a named pipe'],
  ['isSocket', 'a socket'],
  ['isCharacterDevice', 'a device'],
  ['isBlockDevice', 'a device'],
] as const;

/** The kind of a path that is not a plain file, or null for a plain file. */
export const kindOf = (stats: Stats): string | null =>
  stats.isFile() ? null : (kinds.find(([is]) => stats[is]())?.[1] ?? 'no plain file');

/** @throws CheckpointError for folders, pipes, sockets and devices */
export function needPlainFile(stats: Stats, op: string, path: string, what: string): void {
  const kind = kindOf(stats);
  if (kind !== null)
    throw new CheckpointError(`${shownPath(path)} ${what}: it is ${kind}`, {
      op,
      advice: 'Pass the path of a plain file',
    });
}

/** A file that is open for reading, and its size in bytes. */
export interface OpenFile {
  readonly file: FileHandle;
  readonly size: number;
}

/**
 * Opens a plain file. The kind is checked first, since opening something else, such as a pipe, could wait for ever.
 * @throws CheckpointError
 */
export async function openToRead(path: string, op: string): Promise<OpenFile> {
  const what = 'cannot be read';
  try {
    needPlainFile(await stat(path), op, path, what);
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) await file.close();
    needPlainFile(stats, op, path, what);
    return { file, size: stats.size };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new CheckpointError(`there is no file ${shownPath(path)}`, { op, advice: 'Check the path' });
    throw fileError(op, path, what, error);
  }
}
