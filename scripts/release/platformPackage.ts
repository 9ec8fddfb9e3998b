/** The files of a platform package besides its library. */
import { packageOf } from '../../runtime/ffi/platform.ts';
import { platformManifest, project } from './manifests.ts';

const version = `export const version = ${JSON.stringify(project.version)};\n`;

function about(platform: string): string {
  if (platform.includes('cuda'))
    return 'It contains the CUDA backend for GPUs of compute capability 8.0 and later, and the CPU backend. The driver has to be of version 580 or newer.';
  const untested = platform.startsWith('darwin') ? ' It was compiled on Linux and is untested: no Mac has run it.' : '';
  return `It is an optional dependency of \`castor\`, which package managers install where it fits.${untested}`;
}

const NVIDIA = `

NVIDIA's CUDA runtime (libcudart_static) is linked in too. It is under the End User License Agreement of NVIDIA's CUDA Toolkit, which names it in
Attachment A among the parts that programs may be passed on with.`;

const readme = (platform: string): string => `# ${packageOf(platform)}

The native library of Castor for ${platform}. Castor finds it at run time; there is nothing to import.
${about(platform)}

It has no install script and downloads nothing. The C++ runtime is linked in; it is under licences that allow this without conditions
(GCC's runtime library exception, or Apache 2.0 with the LLVM exception).${platform.includes('cuda') ? NVIDIA : ''}
`;

/** The texts of the files, by name. */
export const platformFiles = (platform: string): Readonly<Record<string, string>> => ({
  'package.json': `${JSON.stringify(platformManifest(platform), null, 2)}\n`,
  'README.md': readme(platform),
  // Bun's bundler copies or embeds a file that is imported so. The path is then relative to the bundle, which require() knows.
  'bun.js': `import { isAbsolute } from 'node:path';
import file from './libcastor.so' with { type: 'file' };

export const path = isAbsolute(file) ? file : require.resolve(file);
${version}`,
  'index.js': `import { fileURLToPath } from 'node:url';

export const path = fileURLToPath(new URL('./libcastor.so', import.meta.url));
${version}`,
  'index.d.ts': `/** The path of the native library. */\nexport declare const path: string;\n/** The version of the package. */\nexport declare const version: string;\n`,
});
