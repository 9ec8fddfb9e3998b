/** NVIDIA's and the compiler's programs that read object files. */
import { join } from 'node:path';
import { findDisassembler, notFound } from '../cudaToolkit.ts';
import { stop } from '../native.ts';

const search = findDisassembler();
if (!search.found) stop(notFound('cuobjdump and nvdisasm', search));
const tools = search.found;

/** Returns the text that cuobjdump prints about an object file for an architecture such as sm_90; it is empty without device code. */
export async function dump(architecture: string, what: string, object: string): Promise<string> {
  const child = Bun.spawn([join(tools, 'cuobjdump'), '-arch', architecture, what, object], {
    env: { ...process.env, NVDISASM_PATH: tools },
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0 && !error.includes('does not contain device code'))
    stop(`cuobjdump ${what} ${object} failed: ${error}`);
  return out;
}

/** Names as in the source. */
export function demangled(names: readonly string[]): string[] {
  if (!Bun.which('c++filt')) stop('c++filt is missing: it comes with the C++ compiler, in binutils');
  return Bun.spawnSync(['c++filt'], { stdin: Buffer.from(names.join('\n')) })
    .stdout.toString()
    .split('\n');
}
