import { describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { CheckpointError, full, io, nn, ones, tidy, zeros } from 'castor';
import { processorEmulated } from '../processor.ts';
import { printed, root } from '../process.ts';
import { place, useFolder } from './place.ts';

/** Saving when the file system fails: at every moment either the old file or the new one is there, complete. */

useFolder();
const temporary = (folder = place()): string[] => readdirSync(folder).filter(name => name.endsWith('.tmp'));
const valueOf = (path: string): Promise<number[]> =>
  tidy(async () => {
    const t = (await io.loadTensors(path)).tensors.get('w')!;
    return [t.min().itemSync(), t.max().itemSync()];
  });
async function refused(save: Promise<unknown>, message: RegExp): Promise<void> {
  const error = (await save.then(
    () => null,
    (caught: unknown) => caught,
  )) as CheckpointError;
  expect(error).toBeInstanceOf(CheckpointError);
  expect(error.message).toMatch(message);
  expect(error.advice).toContain('The file that was there before is unchanged');
}

describe('several saves of one path', () => {
  test('take turns, and the last call wins', () =>
    tidy(async () => {
      const path = place('race');
      const saves = [1, 2, 3, 4, 5].map(value => io.saveTensors(path, { w: full([1000, value], value) }));
      await Promise.all(saves);
      expect(await valueOf(path)).toEqual([5, 5]);
      const gone = ones([1]);
      gone.dispose();
      const mixed = [
        io.saveTensors(path, { w: full([9], 6) }),
        io.saveTensors(path, { gone }),
        io.saveTensors(path, { w: full([9], 7) }),
      ];
      expect((await Promise.allSettled(mixed)).map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
      expect(await valueOf(path)).toEqual([7, 7]);
      expect(temporary()).toEqual([]);
    }));
  test('also when one is asked for between the ends of others', () =>
    tidy(async () => {
      const path = place('between');
      const large = [1, 2, 3].map(value => io.saveTensors(path, { w: full([2 ** 21], value) }));
      await large[0];
      const small = io.saveTensors(path, { w: full([1], 4) });
      await Promise.all([...large, small]);
      expect(await valueOf(path)).toEqual([4, 4]);
    }));
  test('through two names of its folder, and next to saves of other paths', () =>
    tidy(async () => {
      mkdirSync(place('real'));
      symlinkSync(place('real'), place('alias'));
      const paths = ['real', 'alias'].map(folder => place(`${folder}/w`));
      await Promise.all([1, 2, 3, 4].map(value => io.saveTensors(paths[value % 2]!, { w: full([1000], value) })));
      expect(await valueOf(paths[0]!)).toEqual([4, 4]);
      await Promise.all([1, 2, 3, 4].map(value => io.saveTensors(place(`real/${value}`), { w: full([1000], value) })));
      for (const value of [1, 2, 3, 4]) expect(await valueOf(place(`real/${value}`))).toEqual([value, value]);
    }));
  test('by processes at the same time leave one whole file', async () => {
    const path = place('shared');
    const program = (value: number): string => `
      for (let i = 0; i < 20; i++) await c.io.saveTensors(${JSON.stringify(path)}, { w: c.full([50_000 * ${value}], ${value}) });
      print('done');`;
    let over = false;
    const writers = Promise.all([1, 2, 3].map(value => printed(program(value)))).finally(() => (over = true));
    while (!existsSync(path) && !over) await Bun.sleep(1);
    let reads = 0;
    while (!over) {
      const [least, most] = await valueOf(path);
      expect(least).toBe(most!);
      reads++;
      await Bun.sleep(1);
    }
    await writers;
    expect(reads).toBeGreaterThan(0);
    expect(temporary()).toEqual([]);
  });
});

describe('a temporary file', () => {
  const leftover = (host: string, pid: number, start: string): string =>
    place(`left/.castor-save-${host}-${pid}-${start}-0123456789abcdef.tmp`);
  test('of a process that was killed is removed by the next save in the folder', async () => {
    mkdirSync(place('left'));
    await tidy(() => io.saveTensors(place('left/run'), { w: ones([3]) }));
    const code = `const c = await import(${JSON.stringify(join(root, 'runtime/index.ts'))});
      const { readdirSync } = await import('node:fs');
      void c.io.saveTensors(${JSON.stringify(place('left/run'))}, { w: c.zeros([2 ** 24]) });
      while (!readdirSync(${JSON.stringify(place('left'))}).some(name => name.endsWith('.tmp'))) await Bun.sleep(0);
      process.kill(process.pid, 'SIGKILL');`;
    const child = Bun.spawn([process.execPath, '-e', code], { cwd: root, stdout: 'ignore', stderr: 'inherit' });
    await child.exited;
    expect(child.signalCode).toBe('SIGKILL');
    expect(temporary(place('left'))).toHaveLength(1);
    expect(await valueOf(place('left/run'))).toEqual([1, 1]);
    await tidy(() => io.saveTensors(place('left/another'), { w: ones([3]) }));
    expect(readdirSync(place('left')).toSorted()).toEqual(['another', 'run']);
  });
  test('of a process that lives stays, and one of another machine until it is a day old', async () => {
    const own = readFileSync(`/proc/self/task/${process.pid}/stat`, 'latin1');
    const start = own.slice(own.lastIndexOf(')') + 2).split(' ')[19]!;
    const host = hostname()
      .replace(/[^A-Za-z0-9.]/g, '_')
      .slice(0, 64);
    const files = {
      mine: leftover(host, process.pid, start),
      reused: leftover(host, process.pid, '1'),
      foreign: leftover('another-host', 1, '1'),
      old: leftover('an-old-host', 1, '1'),
      // A system without /proc does not tell when a process started.
      untold: leftover(host, process.pid, 'unknown'),
      unlike: place('left/.castor-save-notes.tmp'),
    };
    for (const path of Object.values(files)) writeFileSync(path, '');
    const minutesAgo = (minutes: number): Date => new Date(Date.now() - minutes * 60_000);
    utimesSync(files.foreign, minutesAgo(24 * 60 - 1), minutesAgo(24 * 60 - 1));
    utimesSync(files.old, minutesAgo(24 * 60 + 1), minutesAgo(24 * 60 + 1));
    await tidy(() => io.saveTensors(place('left/run'), { w: ones([3]) }));
    expect(
      Object.entries(files)
        .filter(([, path]) => existsSync(path))
        .map(([name]) => name),
    ).toEqual(['mine', 'foreign', 'untold', 'unlike']);
    rmSync(place('left'), { recursive: true });
  });
  test('never opens what is there already', async () => {
    mkdirSync(place('planted'));
    writeFileSync(place('victim'), 'mine');
    symlinkSync(place('victim'), place(`planted/run.${process.pid}.tmp`));
    symlinkSync(place('victim'), place('planted/run'));
    await tidy(() => io.saveTensors(place('planted/run'), { w: ones([3]) }));
    expect(readFileSync(place('victim'), 'latin1')).toBe('mine');
    expect(await valueOf(place('planted/run'))).toEqual([1, 1]);
  });
  test('gets the mode of the file it replaces, and never more rights than that', async () => {
    for (const mode of [0o600, 0o640, 0o666]) {
      writeFileSync(place('secret'), '');
      chmodSync(place('secret'), mode);
      await tidy(() => io.saveTensors(place('secret'), { w: ones([1]) }));
      expect(statSync(place('secret')).mode & 0o7777).toBe(mode);
    }
    await tidy(() => io.saveTensors(place('fresh'), { w: ones([1]) }));
    expect(statSync(place('fresh')).mode & 0o7777).toBe(0o666 & ~process.umask());
  });
});

describe('what the system says is an error with the path and advice, and the old file stays:', () => {
  test('a folder, a part of the path that is a file, a name that is too long', () =>
    tidy(async () => {
      const state = { w: ones([1]) };
      writeFileSync(place('plain'), 'old');
      mkdirSync(place('folder'));
      const model = new nn.Linear(1, 1);
      for (const save of [
        (path: string) => io.saveTensors(path, state),
        (path: string) => io.saveCheckpoint(path, { model, step: 1 }),
      ]) {
        await refused(save(place('plain/x')), /plain\/x cannot be saved: a part of the path.*is a file/);
        await refused(save(place('plain/x/y')), /cannot be saved: a part of the path/);
        await refused(save(place('n'.repeat(256))), /cannot be saved: the name is too long/);
      }
      await io.saveTensors(place('n'.repeat(255)), state);
      expect(readFileSync(place('plain'), 'latin1')).toBe('old');
      expect(temporary()).toEqual([]);
      for (const p of model.parameters()) p.dispose();
    }));
  const save = (path: string, elements: number): string =>
    `const old = await c.io.saveTensors(${JSON.stringify(path)}, { w: c.ones([2]) }).then(() => 'saved', String);
     const error = await c.io.saveTensors(${JSON.stringify(path)}, { w: c.zeros([${elements}]) }).then(() => 'saved', e => e);
     print(old, error.name, error.message);
     print((await c.io.loadTensors(${JSON.stringify(path)})).tensors.get('w').dataSync());
     print((await import('node:fs')).readdirSync(${JSON.stringify(join(path, '..'))}).filter(name => name.endsWith('.tmp')).length);`;
  /** The lines that a program prints after a shell has run some commands. */
  const printedAfter = async (shell: string[], before: string, program: string): Promise<string[]> => {
    const file = place('program.ts');
    writeFileSync(
      file,
      `const c = await import(${JSON.stringify(join(root, 'runtime/index.ts'))});
       const print = (...values: unknown[]) => console.log(values.join(' '));
       ${program}`,
    );
    const child = Bun.spawn([...shell, `${before} && exec "$@"`, 'sh', process.execPath, file], {
      cwd: root,
      stdout: 'pipe',
      stderr: 'inherit',
    });
    return (await new Response(child.stdout).text()).trim().split('\n');
  };
  // Deno writes a file of its own as it starts, and the system ends it for that.
  test.skipIf('deno' in process.versions)('a limit on the size of files', async () => {
    mkdirSync(place('limit'));
    const [error, values, left] = await printedAfter(['sh', '-c'], 'ulimit -f 64', save(place('limit/run'), 100_000));
    expect(error).toMatch(
      /^saved CheckpointError saveTensors: .*limit\/run cannot be saved: it needs 400\d\d\d bytes, and a file may have (32768|65536) \(EFBIG\)\. Raise the limit/,
    );
    expect([values, left]).toEqual(['1,1', '0']);
  });
  /** The shell counts in blocks. */
  test.skipIf(Bun.which('prlimit') === null)(
    'a limit that a file just keeps to, and one that it is a byte too long for',
    async () => {
      // An emulator of another processor writes files of its own, such as the list of the process's memory, and a lower limit prevents that.
      const large = '{ w: c.zeros([100_007], { dtype: "uint8" }) }';
      for (const tensors of processorEmulated ? [large] : [large, '{ w: c.zeros([7], { dtype: "uint8" }) }', '{}']) {
        const path = JSON.stringify(place('limited'));
        const program = `print(await c.io.saveTensors(${path}, ${tensors}).then(() => 'saved', e => e.message))`;
        const whole = await printedAfter(['sh', '-c'], 'true', program);
        const { size } = statSync(place('limited'));
        const within = await printedAfter(['prlimit', `--fsize=${size}`, 'sh', '-c'], 'true', program);
        const beyond = await printedAfter(['prlimit', `--fsize=${size - 1}`, 'sh', '-c'], 'true', program);
        expect([whole, within]).toEqual([['saved'], ['saved']]);
        expect(beyond[0]).toContain(`it needs ${size} bytes, and a file may have ${size - 1}`);
      }
    },
  );
  const mount = [
    ['unshare', '-m', 'sh', '-c'],
    ['unshare', '-rm', 'sh', '-c'],
  ].find(
    ([command, ...args]) =>
      Bun.which(command!) &&
      Bun.spawnSync([command!, ...args, 'mount -t tmpfs none /mnt'], { stderr: 'ignore' }).success,
  );
  /** Only some machines allow a test to mount a file system. */
  const whereMounted = test.skipIf(mount === undefined);
  whereMounted('a full disk', async () => {
    mkdirSync(place('disk'));
    const before = `mount -t tmpfs -o size=256k none ${place('disk')}`;
    const [error, values, left] = await printedAfter(mount!, before, save(place('disk/run'), 100_000));
    expect(error).toMatch(
      /CheckpointError saveTensors: .*disk\/run cannot be saved: the disk is full \(ENOSPC\)\. Free space/,
    );
    expect([values, left]).toEqual(['1,1', '0']);
  });
  whereMounted('a read-only file system', async () => {
    mkdirSync(place('readonly'));
    await tidy(() => io.saveTensors(place('readonly/run'), { w: ones([2]) }));
    const folder = place('readonly');
    const before = `mount --bind ${folder} ${folder} && mount -o remount,ro,bind ${folder}`;
    const [error, values] = await printedAfter(mount!, before, save(place('readonly/run'), 10));
    expect(error).toMatch(
      /CheckpointError saveTensors: .*readonly\/run cannot be saved: the file system is read-only \(EROFS\)/,
    );
    expect(values).toBe('1,1');
  });
  /** The superuser has all these permissions. */
  test.skipIf(process.geteuid?.() === 0)('no permission', async () => {
    mkdirSync(place('closed'));
    await tidy(() => io.saveTensors(place('closed/run'), { w: ones([2]) }));
    chmodSync(place('closed'), 0o555);
    await tidy(() => refused(io.saveTensors(place('closed/run'), { w: zeros([2]) }), /no permission \(EACCES\)/));
    chmodSync(place('closed'), 0o755);
    chmodSync(place('closed/run'), 0o444);
    await tidy(() => refused(io.saveTensors(place('closed/run'), { w: zeros([2]) }), /no permission \(EACCES\)/));
    expect(await valueOf(place('closed/run'))).toEqual([1, 1]);
  });
  test('makes folders that are missing', async () => {
    await tidy(() => io.saveTensors(place('new/of/all/run'), { w: ones([1]) }));
    expect(await valueOf(place('new/of/all/run'))).toEqual([1, 1]);
  });
});
