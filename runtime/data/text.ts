import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { types } from 'node:util';
import { anyAs, arrayOf, checked, number, optional, type Spec } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { kindOf, shownPath, systemReason, wrongPath } from '../io/files.ts';
import { shown } from '../shown.ts';

const TEXT = { advice: 'Pass the path of a text file, or of a folder with text files' };

/**
 * The bytes of a text file, or of each text file of a folder and all folders in it, sorted by path. Hidden files, links and
 * binary files (those with a zero byte) are left out.
 * @throws ArgumentError when there is nothing at the path, or no text
 */
export const readPages = checked('readPages', { path: anyAs('the path of a file or folder') }, doReadPages);
function doReadPages(path: string): Uint8Array[] {
  const wrong = wrongPath(path);
  if (wrong !== null) throw new ArgumentError(wrong, { op: 'readPages', ...TEXT });
  const pages = readable(path).filter(page => page.length > 0 && !page.includes(0));
  if (pages.length === 0)
    throw new ArgumentError(`there is no text in ${shownPath(path)}`, { op: 'readPages', ...TEXT });
  return pages;
}

/** Reads all files at a path. @throws ArgumentError with the reason that the system gives */
function readable(path: string): Uint8Array[] {
  const op = 'readPages';
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) throw new ArgumentError(`there is no file or folder ${shownPath(path)}`, { op, ...TEXT });
    const kind = stats.isDirectory() ? null : kindOf(stats);
    if (kind !== null) throw new ArgumentError(`${shownPath(path)} is ${kind}`, { op, ...TEXT });
    return (stats.isDirectory() ? filesIn(path) : [path]).map(file => new Uint8Array(readFileSync(file)));
  } catch (error) {
    const reason = systemReason(error);
    if (reason === null) throw error;
    throw new ArgumentError(`${shownPath(path)} cannot be read: ${reason.why}`, { op, advice: reason.advice });
  }
}

function filesIn(folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...filesIn(path));
    else if (entry.isFile()) found.push(path);
  }
  return found.sort();
}

/** A corpus in two parts: the training part, and the part that the model is evaluated on. */
export interface Split {
  /** The part that the model is trained on. */
  readonly train: Uint8Array;
  /** The part that the model is evaluated on. */
  readonly heldOut: Uint8Array;
}

const page: Spec = { wanted: 'a Uint8Array', accepts: bytes => types.isUint8Array(bytes) };

/**
 * Holds out every n-th page, beginning with the first. Of fewer than n pages, it holds out the last n-th of all bytes.
 */
export const holdOut = checked(
  'holdOut',
  { pages: arrayOf(page, 'an array of pages'), n: optional(number) },
  doHoldOut,
);
function doHoldOut(pages: readonly Uint8Array[], n = 20): Split {
  if (!Number.isInteger(n) || n < 2)
    throw new ArgumentError(`every ${shown(n)}-th page cannot be held out`, {
      op: 'holdOut',
      advice: 'Pass an integer >= 2',
    });
  if (pages.length >= n) {
    return {
      train: together(pages.filter((_, i) => i % n !== 0)),
      heldOut: together(pages.filter((_, i) => i % n === 0)),
    };
  }
  const all = together(pages);
  const end = all.length - Math.floor(all.length / n);
  return { train: all.subarray(0, end), heldOut: all.subarray(end) };
}

const together = (pages: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pages));
