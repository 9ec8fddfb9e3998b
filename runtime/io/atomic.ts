import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a file so that at every moment the old one or the new one is there, whole: chunks go to a neighbour, which then takes its
 * place. Folders that are missing are made.
 */
export async function writeAtomically(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const neighbour = `${path}.${process.pid}.tmp`;
  const file = await open(neighbour, 'w');
  try {
    for await (const chunk of chunks)
      for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
    await file.sync();
    await file.close();
    await rename(neighbour, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(neighbour, { force: true });
    throw error;
  }
}
