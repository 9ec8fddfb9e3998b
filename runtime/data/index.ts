export { ByteWindows, type ByteBatch } from './byteWindows.ts';
export { holdOut, readPages, type Split } from './text.ts';
