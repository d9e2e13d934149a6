/** BFD control packets: round trips, every fault that they can have, their authentication sections, any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as bfd from "../../stack/wire/bfd.ts";
import { digestBytes } from "../../stack/wire/bfd-authentication.ts";
import { describe as printed } from "../../stack/wire/printer.ts";
import { udpFrame } from "../support/host-frames.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  mangled,
  uint32,
  uint8,
  viewOf,
} from "../support/records.ts";

const { AUTHENTICATION, STATE } = bfd;

const password = fc.record({
  kind: fc.constant(AUTHENTICATION.SIMPLE_PASSWORD),
  keyId: uint8,
  password: bytes(16, 1),
});
const digest = fc
  .constantFrom(
    AUTHENTICATION.KEYED_MD5,
    AUTHENTICATION.METICULOUS_KEYED_MD5,
    AUTHENTICATION.KEYED_SHA1,
    AUTHENTICATION.METICULOUS_KEYED_SHA1,
  )
  .chain((kind) =>
    fc.record({
      kind: fc.constant(kind),
      keyId: uint8,
      sequence: uint32,
      digest: bytes(digestBytes(kind), digestBytes(kind)),
    }),
  );
const record: fc.Arbitrary<bfd.BfdRecord> = fc
  .record({
    diagnostic: fc.nat(31),
    state: fc.constantFrom(STATE.ADMIN_DOWN, STATE.DOWN, STATE.INIT, STATE.UP),
    poll: fc.boolean(),
    final: fc.boolean(),
    independent: fc.boolean(),
    demand: fc.boolean(),
    detectMultiplier: fc.integer({ min: 1, max: 255 }),
    myDiscriminator: fc.integer({ min: 1, max: 0xffff_ffff }),
    yourDiscriminator: uint32,
    desiredMinTxUs: uint32,
    requiredMinRxUs: uint32,
    requiredMinEchoRxUs: uint32,
    authentication: fc.option(fc.oneof(password, digest), { nil: undefined }),
  })
  .filter(({ state, yourDiscriminator }) => state <= STATE.DOWN || yourDiscriminator !== 0);

const PLAIN: bfd.BfdRecord = {
  diagnostic: bfd.DIAGNOSTIC.DETECTION_TIME_EXPIRED,
  state: STATE.UP,
  poll: true,
  final: false,
  independent: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: 0x0102_0304,
  yourDiscriminator: 0x0506_0708,
  desiredMinTxUs: 10_000,
  requiredMinRxUs: 20_000,
  requiredMinEchoRxUs: 0,
  authentication: undefined,
};
const SIGNED: bfd.BfdRecord = {
  ...PLAIN,
  authentication: {
    kind: AUTHENTICATION.KEYED_MD5,
    keyId: 7,
    sequence: 9,
    digest: new Uint8Array(16).fill(0xdd),
  },
};

describe("a BFD control packet", () => {
  test("comes back from its bytes", () => {
    fc.assert(fc.property(record, (one) => void expectRoundTrip(bfd, one)));
  });

  test("has the bytes that it should", () => {
    // RFC 5880 section 4.1: version 1 and diagnostic 1; Up and Poll; 3; 24; then six words.
    expect(bytesOf(bfd, PLAIN).toHex()).toBe("21e00318010203040506070800002710" + "00004e2000000000");
    // Section 4.3: with "A", and type 2 of 24 bytes, key 7, a zero, 9, and the digest.
    expect(bytesOf(bfd, SIGNED).toHex()).toBe(
      "21e40330010203040506070800002710" + "00004e2000000000" + "0218070000000009" + "dd".repeat(16),
    );
  });

  test("says what is wrong with it, in the order of RFC 5880 section 6.8.6", () => {
    const judged = (change: (view: DataView) => void, one = PLAIN, length = bfd.lengthOf(one)): number => {
      const view = viewOf(bytesOf(bfd, one));
      change(view);
      return bfd.check(view, 0, length);
    };
    const set =
      (at: number, value: number) =>
      (view: DataView): void =>
        view.setUint8(at, value);
    expect(judged(() => {})).toBe(0);
    expect(judged(() => {}, SIGNED)).toBe(0);
    expect(judged(() => {}, PLAIN, 23)).toBe(bfd.BAD.short);
    expect(judged(set(bfd.VERSION_DIAGNOSTIC, 0x01))).toBe(bfd.BAD.version);
    expect(judged(set(bfd.VERSION_DIAGNOSTIC, 0x41))).toBe(bfd.BAD.version);
    expect(judged(set(bfd.LENGTH, 23))).toBe(bfd.BAD.length);
    expect(judged(set(bfd.LENGTH, 25))).toBe(bfd.BAD.length);
    expect(judged(set(bfd.LENGTH, 25), SIGNED)).toBe(bfd.BAD.length);
    expect(judged(() => {}, SIGNED, 47)).toBe(bfd.BAD.length);
    expect(judged(set(bfd.DETECT_MULTIPLIER, 0))).toBe(bfd.BAD.multiplier);
    expect(judged(set(bfd.STATE_FLAGS, 0xe1))).toBe(bfd.BAD.multipoint);
    expect(judged((view) => view.setUint32(bfd.MY_DISCRIMINATOR, 0))).toBe(bfd.BAD.discriminator);
    for (const [state, verdict] of [
      [STATE.ADMIN_DOWN, 0],
      [STATE.DOWN, 0],
      [STATE.INIT, bfd.BAD.stranger],
      [STATE.UP, bfd.BAD.stranger],
    ] as const) {
      const strange = judged((view) => {
        view.setUint32(bfd.YOUR_DISCRIMINATOR, 0);
        view.setUint8(bfd.STATE_FLAGS, state << 6);
      });
      expect(strange).toBe(verdict);
    }
    // A section that ends before or behind the packet, of no known type, or of another's length.
    expect(judged(set(bfd.HEADER_BYTES + 1, 23), SIGNED)).toBe(bfd.BAD.authentication);
    expect(judged(set(bfd.HEADER_BYTES + 1, 25), SIGNED)).toBe(bfd.BAD.authentication);
    expect(judged(set(bfd.HEADER_BYTES, 0), SIGNED)).toBe(bfd.BAD.authentication);
    expect(judged(set(bfd.HEADER_BYTES, 6), SIGNED)).toBe(bfd.BAD.authentication);
    expect(judged(set(bfd.HEADER_BYTES, AUTHENTICATION.KEYED_SHA1), SIGNED)).toBe(bfd.BAD.authentication);
    expect(judged(set(bfd.HEADER_BYTES, AUTHENTICATION.SIMPLE_PASSWORD), SIGNED)).toBe(
      bfd.BAD.authentication,
    );
  });

  test("refuses records that no packet can be", () => {
    const view = new DataView(new ArrayBuffer(64));
    for (const [change, says] of [
      [{ diagnostic: 32 }, "diagnostic"],
      [{ detectMultiplier: 0 }, "detectMultiplier"],
      [{ detectMultiplier: 256 }, "detectMultiplier"],
      [{ myDiscriminator: 0 }, "myDiscriminator"],
      [{ yourDiscriminator: 0 }, "yourDiscriminator"],
      [{ desiredMinTxUs: -1 }, "desiredMinTxUs"],
      [{ requiredMinRxUs: 2 ** 32 }, "requiredMinRxUs"],
      [{ requiredMinEchoRxUs: 0.5 }, "requiredMinEchoRxUs"],
      [{ authentication: { ...SIGNED.authentication, digest: bytes20 } }, "digest"],
    ] as const)
      expect(() => bfd.emit({ ...PLAIN, ...(change as Partial<bfd.BfdRecord>) }, view, 0)).toThrow(says);
  });

  test("is read without a throw, whatever the bytes, and means the same when written again", () => {
    const valid = record.map((one) => bytesOf(bfd, one));
    fc.assert(
      fc.property(mangled(valid), (data) => {
        const parsed = expectStable(bfd, data);
        expect(parsed !== undefined).toBe(bfd.check(viewOf(data), 0, data.length) === 0);
      }),
      { numRuns: 2000 },
    );
  });

  test("is printed in one line", () => {
    const line = (payload: Uint8Array, port: number): string => {
      const frame = udpFrame(payload, { port });
      return printed(new DataView(frame.buffer), 0, frame.length);
    };
    expect(line(bytesOf(bfd, PLAIN), bfd.CONTROL_PORT)).toEndWith(
      ": BFD up (detection time expired) [poll], from 0x01020304 to 0x05060708, tx 10 ms, rx 20 ms, multiplier 3",
    );
    expect(line(bytesOf(bfd, SIGNED), bfd.CONTROL_PORT)).toEndWith(", keyed md5 key 7 sequence 9");
    expect(line(bytesOf(bfd, PLAIN).subarray(0, 20), bfd.CONTROL_PORT)).toEndWith(": BFD [|bfd]");
    expect(line(new Uint8Array(16), bfd.ECHO_PORT)).toEndWith(": BFD echo");
  });
});

const bytes20 = new Uint8Array(20);
