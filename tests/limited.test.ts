import { describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endedHow, endLeftovers, runLimited } from '../scripts/limited.ts';

const bash = (program: string, limit = 60): ReturnType<typeof runLimited> =>
  runLimited(['bash', '-c', program], { limit });
/** Longer than the test may take: whatever waits for such a process to end fails. */
const LONG = 'sleep 1000';

describe('a command with a limit', () => {
  test('that ends well has its output and code', async () => {
    let seen = '';
    const ended = await runLimited(['sh', '-c', 'echo one; echo two >&2; exit 3'], {
      limit: 60,
      onText: text => (seen += text),
    });
    expect(ended).toMatchObject({ text: 'one\ntwo\n', code: 3, signal: null, stopped: false });
    expect(seen).toBe(ended.text);
    expect(endedHow(ended)).toBe('ended with code 3');
    expect(endedHow(await bash('exit 0'))).toBeNull();
  });
  test('that is not there ends with code 127', async () => {
    expect(await runLimited(['no-such-program'], { limit: 60 })).toMatchObject({ code: 127, stopped: false });
  });
  test('that is killed names the signal', async () => {
    expect(endedHow(await bash('echo before; kill -KILL $$'))).toBe('killed by SIGKILL');
  });
  test('that hangs is stopped, also if it ignores the polite signal', async () => {
    expect(await bash(LONG, 0.2)).toMatchObject({ stopped: true, signal: 'SIGTERM' });
    const deaf = await bash(`trap '' TERM; echo deaf; ${LONG}; ${LONG}`, 0.5);
    expect(deaf).toMatchObject({ stopped: true, text: 'deaf\n' });
    expect(endedHow(deaf)).toMatch(/^stopped after \d+ s$/);
  });
  test('takes its children with it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'castor-limited-'));
    const file = join(folder, 'pid');
    await bash(`${LONG} & echo $! >${file}; wait`, 0.5);
    const status = `/proc/${readFileSync(file, 'utf8').trim()}/stat`;
    for (let i = 0; i < 100 && existsSync(status) && !readFileSync(status, 'utf8').includes(' Z '); i++)
      await Bun.sleep(50);
    expect(existsSync(status) && !readFileSync(status, 'utf8').includes(' Z ')).toBe(false);
    rmSync(folder, { recursive: true });
  });
  test('is not waited for when a process in a session of its own holds its output', async () => {
    expect(await bash(`setsid ${LONG} & echo done`)).toMatchObject({ code: 0, text: 'done\n', stopped: false });
    expect(await bash(`setsid ${LONG} & ${LONG}`, 0.3)).toMatchObject({ stopped: true });
    expect(endLeftovers()).toBeGreaterThanOrEqual(2);
    await Bun.sleep(50);
    expect(endLeftovers()).toBe(0);
  });
});
