/** UDP datagrams: round trips, checksums whole, absent, partial and wrong, datagrams turned around, any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { fold, pseudoOf } from "../../stack/wire/checksum.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv4,
  ipv6,
  mangled,
  uint16,
  viewOf,
} from "../support/records.ts";

const record = fc.record({ sourcePort: uint16, destinationPort: uint16, payload: bytes(70) });
const ends = fc.oneof(fc.tuple(ipv4, ipv4), fc.tuple(ipv6, ipv6));
/** The view of a datagram with its checksum, and its pseudo-header's sum. */
const whole = (one: udp.UdpRecord, [source, destination]: [IpAddress, IpAddress]) => {
  const pseudo = pseudoOf(source, destination, PROTOCOL.UDP, udp.lengthOf(one));
  const format = {
    lengthOf: udp.lengthOf,
    emit: (r: udp.UdpRecord, v: DataView, at: number) => udp.emit(r, v, at, pseudo),
  };
  const data = bytesOf(format, one);
  return { view: viewOf(data), pseudo, length: data.length };
};

describe("a UDP datagram", () => {
  test("comes back from its bytes", () => {
    fc.assert(fc.property(record, (one) => void expectRoundTrip(udp, one)));
  });

  test("has the bytes that it should", () => {
    const one = { sourcePort: 0x1234, destinationPort: 53, payload: Uint8Array.of(1, 2, 3) };
    expect(bytesOf(udp, one).toHex()).toBe("12340035000b0000010203");
    // 0a00 + 0001 + 0a00 + 0002 + 0011 + 000b, then the header 1234 + 0035 + 000b, then 0102 + 0300: 2a95.
    const { view } = whole(one, [IpAddress.parse("10.0.0.1"), IpAddress.parse("10.0.0.2")]);
    expect(udp.checksum(view, 0)).toBe(~0x2a95 & 0xffff);
  });

  test("says what is wrong with it", () => {
    const data = bytesOf(udp, { sourcePort: 1, destinationPort: 2, payload: new Uint8Array(4) });
    const judged = (length: number, claimed = data.length): number => {
      const view = viewOf(data);
      udp.setLength(view, 0, claimed);
      return udp.check(view, 0, length);
    };
    expect(judged(12)).toBe(0);
    expect(judged(7)).toBe(udp.BAD.short);
    expect(judged(11)).toBe(udp.BAD.length);
    expect(judged(12, 13)).toBe(udp.BAD.length);
    expect(judged(12, 7)).toBe(udp.BAD.length);
    expect(judged(12, 0)).toBe(udp.BAD.length);
    expect(judged(12, 8)).toBe(0);
  });

  test("is read, written and turned around in place", () => {
    fc.assert(
      fc.property(record, ends, uint16, uint16, (one, between, port, other) => {
        const { view, pseudo, length } = whole(one, between);
        expect(udp.length(view, 0)).toBe(length);
        udp.swapPorts(view, 0);
        expect(udp.sourcePort(view, 0)).toBe(one.destinationPort);
        expect(udp.destinationPort(view, 0)).toBe(one.sourcePort);
        const [source, destination] = between;
        expect(udp.verify(view, 0, pseudoOf(destination, source, PROTOCOL.UDP, length), length)).toBe(
          udp.VERIFIED.whole,
        );
        udp.setSourcePort(view, 0, port);
        udp.setDestinationPort(view, 0, other);
        udp.writeChecksum(view, 0, pseudo, length);
        expect(udp.verify(view, 0, pseudo, length)).toBe(udp.VERIFIED.whole);
        expect(udp.parse(view, 0, length)).toEqual({ ...one, sourcePort: port, destinationPort: other });
        udp.writeHeader(view, 0, 5, 6, length, 7);
        expect([
          udp.sourcePort(view, 0),
          udp.destinationPort(view, 0),
          udp.length(view, 0),
          udp.checksum(view, 0),
        ]).toEqual([5, 6, length, 7]);
      }),
    );
  });

  test("has a checksum that is whole, absent, partial or wrong", () => {
    fc.assert(
      fc.property(record, ends, fc.nat(), fc.nat(7), (one, between, where, bit) => {
        const { view, pseudo, length } = whole(one, between);
        expect(udp.checksum(view, 0)).not.toBe(0);
        expect(udp.verify(view, 0, pseudo, length)).toBe(udp.VERIFIED.whole);
        const at = where % length;
        view.setUint8(at, view.getUint8(at) ^ (1 << bit));
        // A bit less or more is never hidden, but in the field itself it may make one of the other kinds.
        if (at !== udp.CHECKSUM && at !== udp.CHECKSUM + 1) {
          const found = udp.verify(view, 0, pseudo, length);
          expect(found).toBe(
            udp.checksum(view, 0) === fold(pseudo) ? udp.VERIFIED.partial : udp.BAD.checksum,
          );
        }
        udp.setChecksum(view, 0, 0);
        expect(udp.verify(view, 0, pseudo, length)).toBe(udp.VERIFIED.absent);
      }),
      { numRuns: 500 },
    );
  });

  test("from a virtual device has the pseudo-header's sum only", () => {
    const one = { sourcePort: 9000, destinationPort: 53, payload: Uint8Array.of(1, 2, 3) };
    const { view, pseudo, length } = whole(one, [IpAddress.parse("10.0.0.1"), IpAddress.parse("10.0.0.2")]);
    udp.setChecksum(view, 0, fold(pseudo));
    expect(udp.verify(view, 0, pseudo, length)).toBe(udp.VERIFIED.partial);
    udp.setChecksum(view, 0, fold(pseudo) + 1);
    expect(udp.verify(view, 0, pseudo, length)).toBe(udp.BAD.checksum);
  });

  test("whose checksum comes out as 0 is sent with ones", () => {
    const between: [IpAddress, IpAddress] = [IpAddress.parse("10.0.0.1"), IpAddress.parse("10.0.0.2")];
    const first = whole({ sourcePort: 1, destinationPort: 2, payload: new Uint8Array(2) }, between);
    // Payload that is the checksum takes the sum to all ones.
    const payload = new Uint8Array(2);
    new DataView(payload.buffer).setUint16(0, udp.checksum(first.view, 0));
    const { view, pseudo, length } = whole({ sourcePort: 1, destinationPort: 2, payload }, between);
    expect(udp.checksum(view, 0)).toBe(0xffff);
    expect(udp.verify(view, 0, pseudo, length)).toBe(udp.VERIFIED.whole);
  });

  test("takes any bytes without a throw", () => {
    fc.assert(
      fc.property(mangled(record.map((one) => bytesOf(udp, one))), uint16, (data, pseudo) => {
        const view = viewOf(data);
        const code = udp.check(view, 0, data.length);
        expect(expectStable(udp, data) === undefined).toBe(code !== 0);
        if (code === 0) udp.verify(view, 0, pseudo, udp.length(view, 0));
      }),
      { numRuns: 1000 },
    );
  });

  test("refuses what no datagram can hold", () => {
    const view = new DataView(new ArrayBuffer(70_000));
    const good = { sourcePort: 1, destinationPort: 2, payload: new Uint8Array(0) };
    expect(() => udp.emit({ ...good, sourcePort: 65536 }, view, 0)).toThrow("sourcePort");
    expect(() => udp.emit({ ...good, destinationPort: -1 }, view, 0)).toThrow("destinationPort");
    expect(() => udp.emit({ ...good, payload: new Uint8Array(65528) }, view, 0)).toThrow("payload");
    expect(udp.emit({ ...good, payload: new Uint8Array(65527) }, view, 0)).toBe(65535);
  });
});
