import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { deviceInfo } from 'castor';
import { onEmulator } from '../setup.ts';

/** From the narrowest to the widest. A machine supports those up to its own. */
const all = ['generic', 'avx2', 'avx512'];
const files = ['forward', 'large'].map(name => join(import.meta.dir, `${name}.test.ts`));

/** With the emulator, the CPU kernels are the same as in every build, and are not tested here. */
test.skipIf(onEmulator)(
  'ops are right with every lesser instruction set, too',
  () => {
    const own = all.indexOf(deviceInfo('cpu').isa!);
    expect(own).toBeGreaterThanOrEqual(0);
    for (const isa of all.slice(0, own)) {
      const env = { ...process.env, CASTOR_ISA: isa };
      const { exitCode, stderr } = Bun.spawnSync([process.execPath, 'test', ...files], { env });
      expect(exitCode, `${isa}: ${stderr.toString().slice(-4000)}`).toBe(0);
    }
  },
  300_000,
);
