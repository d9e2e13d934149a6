/**
 * What holds for the records of every wire format: round trips, every byte written, no throw for any bytes.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { MacAddress } from "../../stack/wire/mac.ts";

/** Where the packet begins in the buffer, odd, so that alignment cannot help. */
const AT = 3;
const SLACK = 16;
/** Bytes that an unwritten field would show. */
const POISONS = [0xa5, 0x5a] as const;

export interface Format<T> {
  lengthOf(record: T): number;
  emit(record: T, view: DataView, at: number): number;
  parse(view: DataView, at: number, length: number): T | undefined;
}

/** The bytes of the record; proves that `emit` writes each of `lengthOf` bytes, and no other. */
export const bytesOf = <T>(format: Pick<Format<T>, "lengthOf" | "emit">, record: T): Uint8Array => {
  const length = format.lengthOf(record);
  const [first, second] = POISONS.map((poison) => {
    const bytes = new Uint8Array(AT + length + SLACK).fill(poison);
    expect(format.emit(record, new DataView(bytes.buffer), AT)).toBe(length);
    expect(bytes.subarray(0, AT).every((byte) => byte === poison)).toBe(true);
    expect(bytes.subarray(AT + length).every((byte) => byte === poison)).toBe(true);
    return bytes.slice(AT, AT + length);
  });
  expect(first).toEqual(second!);
  return first!;
};

/** The view of exactly these bytes inside a larger buffer, so that a read beyond them throws. */
export const viewOf = (bytes: Uint8Array): DataView => {
  const copy = new Uint8Array(AT + bytes.length);
  copy.set(bytes, AT);
  return new DataView(copy.buffer, AT);
};

/** Proves that `parse(emit(record))` is the record. */
export const expectRoundTrip = <T>(format: Format<T>, record: T): Uint8Array => {
  const bytes = bytesOf(format, record);
  expect(format.parse(viewOf(bytes), 0, bytes.length)).toEqual(record);
  return bytes;
};

/**
 * Valid bytes with a few of them changed, a piece cut off or doubled, and any bytes at all: what no reader may throw on.
 */
export const mangled = (valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> => {
  const change = fc.record({
    where: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    value: fc.oneof(fc.constantFrom(0, 1, 2, 4, 7, 8, 16, 127, 128, 254, 255), fc.nat(255)),
  });
  const mutated = fc
    .record({
      bytes: valid,
      changes: fc.array(change, { maxLength: 4 }),
      keep: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
      more: fc.uint8Array({ maxLength: 12 }),
    })
    .map(({ bytes, changes, keep, more }) => {
      const copy = bytes.slice();
      for (const { where, value } of changes)
        if (copy.length > 0) copy[Math.floor(where * copy.length)] = value;
      const kept = copy.subarray(0, Math.round(keep * copy.length));
      return new Uint8Array([...kept, ...more]);
    });
  return fc.oneof(
    { weight: 8, arbitrary: mutated },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  );
};

/**
 * What a parser takes from any bytes its emitter accepts, and reads the same again. Gives what was parsed.
 */
export const expectStable = <T>(format: Format<T>, bytes: Uint8Array): T | undefined => {
  const record = format.parse(viewOf(bytes), 0, bytes.length);
  if (record !== undefined) expectRoundTrip(format, record);
  return record;
};

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
export const ipv4 = word.map((value) => IpAddress.v4(value));
/** Any but the mapped ones, which are IPv4. */
export const ipv6 = fc
  .tuple(word, word, word, word)
  .map((words) => IpAddress.words(...words))
  .filter((address) => address.family === 6);
export const mac = fc.tuple(word, fc.nat(0xffff)).map(([high, low]) => MacAddress.words(high, low));
export const uint8 = fc.nat(0xff);
export const uint16 = fc.nat(0xffff);
export const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
export const bytes = (maxLength: number, minLength = 0): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength });
