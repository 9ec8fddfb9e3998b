import { describe, expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdirSync, openSync, closeSync, ftruncateSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import {
  arange,
  ArgumentError,
  cat,
  CastorError,
  CheckpointError,
  dtypeNames,
  io,
  ones,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from 'castor';
import { MEASURES_MEMORY, unlessEmulated } from '../processor.ts';
import { devices } from '../setup.ts';
import { printed } from '../process.ts';
import { place, readRaw, useFolder, writeRaw } from './place.ts';

/** The safetensors format: what Castor writes, what it reads, and what it refuses to write and to read. */

useFolder();
const entry = (dtype: string, shape: unknown, begin: unknown, end: unknown): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const bytes = (...values: number[]): Uint8Array => new Uint8Array(new Float32Array(values).buffer);
async function refused(
  load: Promise<unknown>,
  message: RegExp,
  kind: typeof CastorError = CheckpointError,
): Promise<void> {
  const error = await load.then(
    () => null,
    (caught: unknown) => caught as CastorError,
  );
  expect(error).toBeInstanceOf(kind);
  expect(error!.message).toMatch(message);
  expect(error!.op).toBeString();
  expect(error!.advice).toBeString();
}

describe('a file that is written', () => {
  test('has a header that ends on 8 bytes, and its tensors aligned, widest first', async () => {
    for (const name of ['a', 'ab', 'abc', 'abcd', 'abcde', 'abcdef', 'abcdefg', 'abcdefgh'])
      await tidy(async () => {
        await io.saveTensors(place('aligned'), {
          byte: ones([3], { dtype: 'uint8' }),
          [name]: ones([2]),
          wide: ones([1], { dtype: 'float64' }),
          half: ones([1], { dtype: 'float16' }),
        });
        const { start, tensors } = readRaw(place('aligned'));
        expect(start % 8).toBe(0);
        expect([...tensors.keys()]).toEqual(['wide', name, 'half', 'byte']);
      });
  });
  test('holds every dtype to the bit', async () => {
    await tidy(async () => {
      const all = Object.fromEntries(dtypeNames.map(dtype => [dtype, tensor([1, 0, 2.5, 3], { dtype })]));
      all.special = tensor([NaN, -0, Infinity, 1e-45]);
      all.bfloat = tensor([NaN, -0, Infinity, 1e-38], { dtype: 'bfloat16' });
      await io.saveTensors(place('bits'), all);
      const { tensors } = await io.loadTensors(place('bits'));
      await io.saveTensors(place('again'), tensors);
      const [first, second] = [readRaw(place('bits')), readRaw(place('again'))];
      expect([...second.tensors].toSorted()).toEqual([...first.tensors].toSorted());
    });
  });
  test('reads back any layout, size and name', async () => {
    for (const device of devices)
      await tidy(async () => {
        const table = tensor(
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
          { device },
        );
        const saved: Record<string, Tensor> = {
          whole: table,
          again: table,
          transposed: table.T,
          stepped: table.slice(1, 0, 3, 2),
          expanded: tensor([[7]], { device }).expand([2, 2]),
          offset: table.select(0, 1),
          number: tensor(2.5, { device }),
          none: zeros([0, 3], { device }),
          '': tensor([1], { device }),
          '12': tensor([2], { device }),
          'a.b/"c"\n\u0000\u2028\u{1f600}\u00e9': tensor([3], { device }),
          ['__proto__']: tensor([4], { device }),
          constructor: tensor([5], { device }),
          'ends in \\': tensor([6], { device }),
          '\\":': tensor([7], { device }),
        };
        await io.saveTensors(place('layouts'), saved, { ['__proto__']: 'x', '': '' });
        const { tensors, metadata } = await io.loadTensors(place('layouts'), { device });
        expect([...tensors.keys()].toSorted()).toEqual(Object.keys(saved).toSorted());
        expect(Object.entries(metadata).toSorted()).toEqual([
          ['', ''],
          ['__proto__', 'x'],
        ]);
        for (const [name, t] of Object.entries(saved)) {
          expect([name, tensors.get(name)!.shape, tensors.get(name)!.device]).toEqual([name, t.shape, t.device]);
          expect(tensors.get(name)!.toArraySync()).toEqual(t.toArraySync());
        }
        expect(tensors.get('whole')!.storage).not.toBe(tensors.get('again')!.storage);
      });
  });
  test('holds tensors of several devices', async () => {
    for (const device of devices)
      await tidy(async () => {
        await io.saveTensors(place('devices'), { here: ones([2], { device: 'cpu' }), there: zeros([2], { device }) });
        const { tensors } = await io.loadTensors(place('devices'), { device });
        expect([...tensors.values()].map(t => t.device)).toEqual(Array(2).fill(zeros([], { device }).device));
        expect([tensors.get('here')!.toArraySync(), tensors.get('there')!.toArraySync()]).toEqual([
          [1, 1],
          [0, 0],
        ]);
      });
  });
  test('may be empty', async () => {
    await io.saveTensors(place('nothing'), {});
    expect((await io.loadTensors(place('nothing'))).tensors.size).toBe(0);
  });
});

describe('what no file can hold is refused when it is saved:', () => {
  const t = (): Tensor => ones([1]);
  const cases: [string, () => Promise<void>, RegExp][] = [
    ['a tensor named __metadata__', () => io.saveTensors(place('x'), { __metadata__: t() }), /name '__metadata__'/],
    ['a name that is no Unicode', () => io.saveTensors(place('x'), { '\ud800': t() }), /cannot have the name/],
    [
      'a name that is no text',
      () => io.saveTensors(place('x'), new Map([[3, t()]]) as never),
      /cannot have the name 3/,
    ],
    ['what is not a tensor', () => io.saveTensors(place('x'), { a: [1] as never }), /'a' is \[1\], not a tensor/],
    [
      'one tensor without a name',
      () => io.saveTensors(place('x'), t() as never),
      /is not a collection of named tensors/,
    ],
    ['no tensors at all', () => io.saveTensors(place('x'), null as never), /is not a collection of named tensors/],
    ['a number in the metadata', () => io.saveTensors(place('x'), {}, { a: 1 as never }), /metadata 'a' is 1/],
    ['null as metadata', () => io.saveTensors(place('x'), {}, null as never), /metadata is null/],
    ['metadata that is no Unicode', () => io.saveTensors(place('x'), {}, { a: '\udc00' }), /metadata 'a'/],
  ];
  test.each(cases)('%s', (_, save, message) => tidy(() => refused(save(), message, ArgumentError)));
  test('a tensor that was disposed', () =>
    tidy(async () => {
      const gone = t();
      gone.dispose();
      await refused(io.saveTensors(place('x'), { gone }), /disposed/, CastorError);
    }));
  test('a tensor that is written to meanwhile', () =>
    tidy(async () => {
      await io.saveTensors(place('moving'), { w: ones([4]) });
      const w = zeros([4]);
      const saving = io.saveTensors(place('moving'), { w });
      w.add_(1);
      await refused(saving, /'w' was written to while it was saved.*file that was there/);
      expect((await io.loadTensors(place('moving'))).tensors.get('w')!.toArraySync()).toEqual([1, 1, 1, 1]);
    }));
});

describe('a header', () => {
  const w = entry('F32', [1], 0, 4);
  test('may have metadata null, or none, and blanks at its end', async () => {
    for (const header of [{ __metadata__: null, w }, { w }, `${JSON.stringify({ w })}   `])
      await tidy(async () => {
        const { metadata, tensors } = await io.loadTensors(writeRaw('ok', header, bytes(3)));
        expect([metadata, tensors.get('w')!.toArraySync()]).toEqual([{}, [3]]);
      });
  });
  const wrong: [string, unknown, RegExp][] = [
    ['a number in its metadata', { __metadata__: { step: 3 }, w }, /metadata 'step' that is not a text/],
    ['metadata that is an array', { __metadata__: [], w }, /metadata that is not an object/],
    ['metadata that is a text', { __metadata__: 'x', w }, /metadata that is not an object/],
    ['a key twice', `{"w":${JSON.stringify(w)},"w":${JSON.stringify(w)}}`, /not JSON/],
    ['a key twice, spelled in two ways', `{"w":${JSON.stringify(w)},"\\u0077":${JSON.stringify(w)}}`, /not JSON/],
    ['a key of an entry twice', '{"w":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', /not JSON/],
    ['a metadata key twice', `{"__metadata__":{"a":"1","a":"2"},"w":${JSON.stringify(w)}}`, /not JSON/],
    ['blanks before it', ` ${JSON.stringify({ w })}`, /not JSON/],
    ['an array', [w], /not JSON/],
    ['a number', '7', /not JSON/],
    ['an entry that is null', { w: null }, /damaged entry 'w'/],
    ['a size below 0', { w: entry('F32', [-1], 0, 4) }, /damaged entry/],
    ['a size that is no whole number', { w: entry('F32', [1.5], 0, 6) }, /damaged entry/],
    ['a size that is a text', { w: entry('F32', ['1'], 0, 4) }, /damaged entry/],
    ['sizes of more than the offsets', { w: entry('F32', [2], 0, 4) }, /damaged entry/],
    ['sizes whose product overflows', { w: entry('F32', [2 ** 40, 2 ** 40], 0, 4) }, /damaged entry/],
    ['one offset', { w: { dtype: 'F32', shape: [1], data_offsets: [0] } }, /damaged entry/],
    ['three offsets', { w: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 4] } }, /damaged entry/],
    ['offsets the other way round', { w: entry('F32', [1], 4, 0) }, /damaged entry/],
    ['a dtype that is no text', { w: { ...entry('F32', [1], 0, 4), dtype: 3 } }, /damaged entry/],
    ['a hole', { w, v: entry('F32', [1], 8, 12) }, /gap or an overlap before 'v'/],
    ['a hole at the start', { v: entry('F32', [1], 4, 8) }, /gap or an overlap before 'v'/],
    ['an overlap', { w: entry('F32', [2], 0, 8), v: entry('F32', [1], 4, 8) }, /gap or an overlap before 'v'/],
    ['two tensors on the same bytes', { w, v: w }, /gap or an overlap/],
    ['an empty tensor inside another', { w: entry('F32', [2], 0, 8), v: entry('F32', [0], 4, 4) }, /gap or an overlap/],
    ['more than the file', { w: entry('F32', [9], 0, 36) }, /truncated: its tensors have 12 bytes of 36/],
    ['less than the file', { w }, /8 bytes too many/],
  ];
  test.each(wrong)('with %s is refused', (_, header, message) =>
    refused(
      io.loadTensors(
        writeRaw(
          'wrong',
          header,
          bytes(1, 2, 3).slice(
            0,
            /a (key|number|text|metadata)|blanks|size|offset|dtype|array|null|same|start/.test(_) ? 4 : 12,
          ),
        ),
      ),
      message,
    ),
  );
  test('that is no UTF-8 is refused', async () => {
    const path = writeRaw('latin', '{"w\u00e9":1}');
    writeFileSync(path, Buffer.concat([Buffer.from([7, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{"\xe9":1}', 'latin1')]));
    await refused(io.loadTensors(path), /not JSON/);
  });
  test('of more than 100 MB, or of more than the file, is not read', async () => {
    const path = place('long');
    const file = openSync(path, 'w');
    ftruncateSync(file, 200_000_000);
    const size = Buffer.alloc(8);
    for (const [length, message] of [
      [100_000_000n, /header is not JSON/],
      [100_000_001n, /format allows 100000000/],
      [199_999_992n, /format allows 100000000/],
      [199_999_993n, /truncated, or not/],
      [200_000_000n, /truncated, or not/],
      [2n ** 64n - 1n, /truncated, or not/],
    ] as const) {
      size.writeBigUInt64LE(length);
      writeSync(file, size, 0, 8, 0);
      await refused(io.loadTensors(path), message);
    }
    closeSync(file);
    rmSync(path);
  });
  test('may give its tensors in any order, with empty ones between', async () => {
    const header = {
      b: entry('F32', [1], 4, 8),
      empty: entry('F32', [0, 5], 4, 4),
      a: entry('F32', [], 0, 4),
      end: entry('I64', [3, 0], 8, 8),
    };
    await tidy(async () => {
      const { tensors } = await io.loadTensors(writeRaw('order', header, bytes(1, 2)));
      expect([...tensors].map(([name, t]) => [name, t.shape, t.toArraySync()]).toSorted()).toEqual([
        ['a', [], 1],
        ['b', [1], [2]],
        ['empty', [0, 5], []],
        ['end', [3, 0], [[], [], []]],
      ]);
    });
  });
  test('that lies unaligned is read all the same', async () => {
    for (const blanks of [0, 1, 2, 3])
      await tidy(async () => {
        const header =
          JSON.stringify({ byte: entry('U8', [1], 0, 1), w: entry('F64', [2], 1, 17) }) + ' '.repeat(blanks);
        const body = Buffer.concat([Buffer.from([9]), Buffer.from(new Float64Array([1.5, -2]).buffer)]);
        expect((await io.loadTensors(writeRaw('odd', header, body))).tensors.get('w')!.toArraySync()).toEqual([
          1.5, -2,
        ]);
      });
  });
});

describe('a tensor that Castor cannot hold', () => {
  const lacking = { I8: 1, I16: 2, U16: 2, U32: 4, U64: 8, F8_E4M3: 1, F8_E5M2: 1, C64: 8, NEW: 3 };
  test.each(Object.entries(lacking))('of dtype %s is named; the others load', async (dtype, size) => {
    const path = writeRaw(
      'lacking',
      { v: entry(dtype, [1], 0, size), w: entry('F32', [1], size, size + 4) },
      new Uint8Array(size + 4),
    );
    await refused(io.loadTensors(path), new RegExp(`tensor 'v' of dtype ${dtype}`));
    await tidy(async () => expect([...(await io.loadTensors(path, { names: ['w'] })).tensors.keys()]).toEqual(['w']));
    await refused(io.loadTensors(path, { names: ['v'] }), /of dtype/);
  });
  test('of 9 axes is named', async () => {
    const path = writeRaw('deep', { v: entry('F32', Array(9).fill(1), 0, 4) }, bytes(1));
    await refused(io.loadTensors(path), /tensor 'v' of 9 axes, Castor has at most 8/);
  });
  test('a bool that is neither 0 nor 1 is damaged', async () => {
    await refused(
      io.loadTensors(writeRaw('bool', { v: entry('BOOL', [3], 0, 3) }, new Uint8Array([0, 1, 2]))),
      /neither 0 nor 1/,
    );
  });
});

test('texts of a caller and of a file are cut in messages', async () => {
  const long = 'n'.repeat(1_000_000);
  const works = [
    () => io.loadTensors(long),
    () => io.saveTensors(long, {}),
    () => io.loadTensors(`${long}/`),
    () => io.saveTensors(place('x'), { [long]: 3 as never }),
    () => io.saveTensors(place('x'), {}, { [long]: 3 as never }),
    () => io.saveTensors(place('x'), { [`${long}\ud800`]: ones([1]) }),
    () => io.loadTensors(writeRaw('long', { [long]: null })),
    () => io.loadTensors(writeRaw('long', { [long]: entry('I8', [1], 0, 1) }, new Uint8Array(1))),
    () => io.loadTensors(writeRaw('long', { a: entry(long, [1], 0, 1) }, new Uint8Array(1))),
    () => io.loadTensors(writeRaw('long', { [long]: entry('U8', [1], 1, 2) }, new Uint8Array(2))),
    () => io.loadTensors(writeRaw('long', { __metadata__: { [long]: 1 } })),
    () => io.loadTensors(writeRaw('long', {}), { names: [long] }),
  ];
  for (const work of works)
    await tidy(async () => {
      const error = (await work().catch((caught: unknown) => caught)) as CastorError;
      expect(error).toBeInstanceOf(CastorError);
      expect(error.message.length).toBeLessThan(1000);
    });
});

describe('names', () => {
  test('choose what is loaded', async () => {
    await tidy(async () => {
      await io.saveTensors(place('names'), { a: ones([1]), b: ones([2]), c: ones([3]) });
      const { tensors } = await io.loadTensors(place('names'), { names: new Set(['c', 'a']) });
      expect([...tensors.keys()].toSorted()).toEqual(['a', 'c']);
      expect((await io.loadTensors(place('names'), { names: [] })).tensors.size).toBe(0);
      await refused(io.loadTensors(place('names'), { names: ['a', 'nope'] }), /has no tensor 'nope'/);
      await refused(
        io.loadTensors(place('names'), { names: 'a' }),
        /names is 'a', which is not a list of names/,
        ArgumentError,
      );
    });
  });
});

describe('a path', () => {
  const paths: [string, () => unknown, RegExp][] = [
    ['a number', () => 1, /1 is not a path/],
    ['null', () => null, /null is not a path/],
    ['empty', () => '', /path is empty/],
    ['with a zero byte', () => 'a\0b', /zero byte/],
    ['of a folder', () => `${place()}/`, /is a folder/],
  ];
  test.each(paths)('%s is refused', async (_, path, message) => {
    await refused(io.loadTensors(path() as string), message, ArgumentError);
    await refused(io.saveTensors(path() as string, {}), message, ArgumentError);
  });
  const others: [string, (path: string) => void, RegExp][] = [
    ['a folder', path => mkdirSync(path), /it is a folder/],
    ['a named pipe', path => execFileSync('mkfifo', [path]), /it is a named pipe/],
    ['a link to a device', path => symlinkSync('/dev/zero', path), /it is a device/],
    ['a socket', path => createServer().listen(path).unref(), /it is a socket/],
  ];
  test.each(others)('that leads to %s is refused at once, both ways', async (name, make, message) => {
    const path = place(`other ${name}`);
    make(path);
    await refused(io.loadTensors(path), message);
    await refused(io.saveTensors(path, {}), message);
  });
  test('that leads nowhere says so', async () => {
    await refused(io.loadTensors(place('nowhere/x')), /there is no file/);
    writeFileSync(place('plain'), '');
    await refused(io.loadTensors(place('plain/x')), /should be a folder is a file \(ENOTDIR\)/);
    await refused(io.loadTensors(place('x'.repeat(300))), /name is too long/);
    symlinkSync(place('ring'), place('ring'));
    await refused(io.loadTensors(place('ring')), /circle|ELOOP/);
  });
});

describe('large files', () => {
  test('hold large tensors of any layout', async () => {
    const pairs: ((t: Tensor) => Tensor)[] = [
      t => t.reshape(1300, 1000).T,
      t => t.reshape(1, 1300, 1000).transpose(1, 2),
      t => t.reshape(650, 2, 1000).permute(2, 1, 0),
      t => t.reshape(2, 650_000).slice(1, 1, 650_000, 3),
      t => t.slice(0, 0, 1000).unsqueeze(0).expand([1300, 1000]),
      t => cat([t, t.neg()]).unsqueeze(1).expand([2_600_000, 2]).T.slice(1, 0, 2_600_000, 2),
    ];
    await tidy(async () => {
      const base = arange(1_300_000, { dtype: 'int32' });
      for (const view of pairs) {
        const t = view(base);
        await io.saveTensors(place('views'), { t });
        const { tensors } = await io.loadTensors(place('views'));
        expect(Buffer.compare(Buffer.from(tensors.get('t')!.dataSync().buffer), Buffer.from(t.dataSync().buffer))).toBe(
          0,
        );
      }
    });
  });
  test('of more than 4 GiB are read: a tensor that lies beyond', async () => {
    const path = place('huge');
    const hole = 2 ** 32 + 4096;
    const header = Buffer.from(
      JSON.stringify({ hole: entry('U8', [hole], 0, hole), tail: entry('F32', [2], hole, hole + 8) }),
    );
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(header.length));
    const file = openSync(path, 'w');
    writeSync(file, Buffer.concat([size, header]), 0, 8 + header.length, 0);
    writeSync(file, bytes(1.5, -2), 0, 8, 8 + header.length + hole);
    closeSync(file);
    await tidy(async () => {
      const { tensors } = await io.loadTensors(path, { names: ['tail'] });
      expect(tensors.get('tail')!.toArraySync()).toEqual([1.5, -2]);
    });
    rmSync(path);
  });
  unlessEmulated(MEASURES_MEMORY)('take no more memory than their tensors and a tenth, both ways', async () => {
    const path = place('memory');
    const size = 96 * 2 ** 20;
    const measure = (work: string): string => `
      const { readFileSync } = await import('node:fs');
      const kilobytes = name => parseInt(readFileSync('/proc/self/status', 'latin1').split(name + ':')[1]);
      c.setDefaultDevice('cpu');
      await c.io.saveTensors(${JSON.stringify(`${path}.small`)}, { w: c.ones([9]) });
      await c.io.loadTensors(${JSON.stringify(`${path}.small`)});
      const w = c.ones([${size / 4}]);
      const before = kilobytes('VmRSS');
      ${work}
      print((kilobytes('VmHWM') - before) * 1024);`;
    const [saving] = await printed(measure(`await c.io.saveTensors(${JSON.stringify(path)}, { w });`));
    const [loading] = await printed(measure(`await c.io.loadTensors(${JSON.stringify(path)});`));
    expect(Number(saving)).toBeLessThan(0.3 * size);
    expect(Number(loading)).toBeLessThan(1.1 * size + 12 * 2 ** 20);
    expect(Number(loading)).toBeGreaterThan(0.9 * size);
  });
  test('and many small tensors leave the event loop its turns', async () => {
    const turnsDuring = async (work: Promise<unknown>): Promise<number> => {
      let [turns, over] = [0, false];
      const count = (): void => void (turns++, over || setImmediate(count));
      count();
      await work;
      over = true;
      return turns;
    };
    const pieces = 6;
    await tidy(async () => {
      const large = zeros([pieces * 2 ** 20]);
      expect(await turnsDuring(io.saveTensors(place('large'), { large }))).toBeGreaterThanOrEqual(pieces);
      expect(await turnsDuring(io.loadTensors(place('large')))).toBeGreaterThanOrEqual(pieces);
      const small = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`t${i}`, ones([1])]));
      await io.saveTensors(place('small'), small);
      expect(await turnsDuring(io.loadTensors(place('small')))).toBeGreaterThanOrEqual(1000 / 64 - 1);
    });
  });
});
