/**
 * What every record's emitter needs: fields judged before they are written, bytes copied in and out of a frame.
 */

/** Largest values of fields by their width. */
export const MAX_UINT8 = 0xff;
export const MAX_UINT16 = 0xffff;
export const MAX_UINT32 = 0xffff_ffff;

/** @throws RangeError that names the field, where `value` is no integer from `minimum` to `maximum`. */
export const requireInteger = (name: string, value: number, maximum: number, minimum = 0): void => {
  if (!Number.isInteger(value) || value < minimum || value > maximum)
    throw new RangeError(`${name} must be an integer from ${minimum} to ${maximum}, not ${value}`);
};

/** @throws RangeError that says what the field must be, where `good` is false. */
export const need = (good: boolean, name: string, must: string): void => {
  if (!good) throw new RangeError(`${name} must ${must}`);
};

/** A copy of `length` bytes at `at`, which outlives the frame. */
export const readBytes = (view: DataView, at: number, length: number): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset + at, length).slice();

/** Writes all of `bytes` at `at`; gives how many. */
export const writeBytes = (view: DataView, at: number, bytes: Uint8Array): number => {
  new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
  return bytes.length;
};

/** Writes `length` zeros at `at`. */
export const writeZeros = (view: DataView, at: number, length: number): void => {
  new Uint8Array(view.buffer, view.byteOffset + at, length).fill(0);
};
