/** Ethernet headers, VLAN tags and ARP packets: round trips, known bytes, frames turned around, any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import * as vlan from "../../stack/wire/vlan.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv4,
  mac,
  mangled,
  uint16,
  viewOf,
} from "../support/records.ts";

const A = MacAddress.parse("02:00:00:00:00:0a");
const B = MacAddress.parse("02:00:00:00:00:0b");
const hex = (data: Uint8Array): string => data.toHex();

describe("an Ethernet header", () => {
  const record = fc.record({ destination: mac, source: mac, type: uint16 });

  test("comes back from its bytes", () => {
    fc.assert(fc.property(record, (one) => void expectRoundTrip(ethernet, one)));
  });

  test("has the bytes that it should", () => {
    const data = bytesOf(ethernet, { destination: A, source: B, type: ethernet.ETHERTYPE.IPV4 });
    expect(hex(data)).toBe("02000000000a02000000000b0800");
  });

  test("is read, written and turned around in place", () => {
    fc.assert(
      fc.property(record, record, (before, after) => {
        const view = viewOf(bytesOf(ethernet, before));
        expect(ethernet.destinationHigh(view, 0)).toBe(before.destination.high);
        expect(ethernet.destinationLow(view, 0)).toBe(before.destination.low);
        expect(ethernet.sourceHigh(view, 0)).toBe(before.source.high);
        expect(ethernet.sourceLow(view, 0)).toBe(before.source.low);
        ethernet.swapAddresses(view, 0);
        expect(ethernet.parse(view, 0, ethernet.HEADER_BYTES)).toEqual({
          destination: before.source,
          source: before.destination,
          type: before.type,
        });
        ethernet.setDestination(view, 0, after.destination);
        ethernet.setSource(view, 0, after.source);
        ethernet.setType(view, 0, after.type);
        expect(ethernet.parse(view, 0, ethernet.HEADER_BYTES)).toEqual(after);
      }),
    );
  });

  test("is short, and nothing else is wrong with any bytes", () => {
    fc.assert(
      fc.property(bytes(20), (data) => {
        const code = ethernet.check(viewOf(data), 0, data.length);
        expect(code).toBe(data.length < ethernet.HEADER_BYTES ? ethernet.BAD.short : 0);
        expectStable(ethernet, data);
      }),
    );
  });

  test("refuses a type that is none", () => {
    const view = new DataView(new ArrayBuffer(14));
    expect(() => ethernet.emit({ destination: A, source: B, type: 0x10000 }, view, 0)).toThrow("type must");
  });
});

describe("a VLAN tag", () => {
  const record = fc.record({
    identifier: fc.nat(0xfff),
    priority: fc.nat(7),
    dropEligible: fc.boolean(),
    innerType: uint16,
  });

  test("comes back from its bytes", () => {
    fc.assert(fc.property(record, (one) => void expectRoundTrip(vlan, one)));
    const tag = { identifier: 0x123, priority: 5, dropEligible: true, innerType: 0x0800 };
    expect(hex(bytesOf(vlan, tag))).toBe("b1230800");
  });

  test("refuses numbers that do not fit", () => {
    const view = new DataView(new ArrayBuffer(4));
    const good = { identifier: 1, priority: 0, dropEligible: false, innerType: 0x0800 };
    for (const bad of [{ identifier: 0x1000 }, { priority: 8 }, { innerType: -1 }])
      expect(() => vlan.emit({ ...good, ...bad }, view, 0)).toThrow(Object.keys(bad)[0]!);
  });

  const { VLAN, QINQ, IPV4 } = ethernet.ETHERTYPE;
  /** A frame whose types follow each other; two bytes of payload. */
  const frame = (...types: number[]): Uint8Array =>
    Uint8Array.from([
      ...A.toBytes(),
      ...B.toBytes(),
      ...types.flatMap((type, i) => [...(i > 0 ? [0, 7] : []), type >> 8, type & 0xff]),
      1,
      2,
    ]);

  test("is skipped, twice at most", () => {
    const skip = (data: Uint8Array, length = data.length): number => vlan.skip(viewOf(data), 0, length);
    expect(skip(frame(IPV4))).toBe(ethernet.TYPE);
    expect(skip(frame(VLAN, IPV4))).toBe(ethernet.TYPE + vlan.TAG_BYTES);
    expect(skip(frame(QINQ, VLAN, IPV4))).toBe(ethernet.TYPE + 2 * vlan.TAG_BYTES);
    expect(skip(frame(QINQ, VLAN, VLAN, IPV4))).toBe(vlan.BAD.tags);
    expect(skip(frame(VLAN, IPV4), 17)).toBe(vlan.BAD.short);
    expect(skip(frame(VLAN, IPV4), 18)).toBe(ethernet.TYPE + vlan.TAG_BYTES);
    expect(skip(frame(IPV4), 13)).toBe(vlan.BAD.short);
    expect(vlan.identifier(viewOf(frame(VLAN, IPV4)), ethernet.HEADER_BYTES)).toBe(7);
    expect(vlan.innerType(viewOf(frame(VLAN, IPV4)), ethernet.HEADER_BYTES)).toBe(IPV4);
  });

  test("is skipped in any bytes, within them", () => {
    const tags = fc.array(fc.constantFrom(VLAN, QINQ, IPV4), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(mangled(tags.map((types) => frame(...types))), (data) => {
        const typeAt = vlan.skip(viewOf(data), 0, data.length);
        if (typeAt >= 0) {
          expect(typeAt + 2).toBeLessThanOrEqual(data.length);
          expect(vlan.isTag(viewOf(data).getUint16(typeAt))).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("an ARP packet", () => {
  const record = fc.record({
    operation: uint16,
    senderMac: mac,
    senderAddress: ipv4,
    targetMac: mac,
    targetAddress: ipv4,
  });
  const request: arp.ArpRecord = {
    operation: arp.OPERATION.REQUEST,
    senderMac: A,
    senderAddress: IpAddress.parse("10.0.0.1"),
    targetMac: MacAddress.words(0, 0),
    targetAddress: IpAddress.parse("10.0.0.2"),
  };

  test("comes back from its bytes", () => {
    fc.assert(fc.property(record, (one) => void expectRoundTrip(arp, one)));
  });

  test("has the bytes that it should", () => {
    expect(hex(bytesOf(arp, request))).toBe("000108000604000102000000000a0a0000010000000000000a000002");
  });

  test("is read and written in place", () => {
    fc.assert(
      fc.property(record, record, (before, after) => {
        const view = viewOf(bytesOf(arp, before));
        expect(arp.senderWord(view, 0)).toBe(before.senderAddress.w3);
        expect(arp.targetWord(view, 0)).toBe(before.targetAddress.w3);
        arp.setOperation(view, 0, after.operation);
        arp.setSenderMac(view, 0, after.senderMac);
        arp.setSenderWord(view, 0, after.senderAddress.w3);
        arp.setTargetMac(view, 0, after.targetMac);
        arp.setTargetWord(view, 0, after.targetAddress.w3);
        expect(arp.parse(view, 0, arp.PACKET_BYTES)).toEqual(after);
      }),
    );
  });

  test("says what is wrong with it", () => {
    const spoiled = (at: number, value: number): number => {
      const data = bytesOf(arp, request);
      data[at] = value;
      return arp.check(viewOf(data), 0, data.length);
    };
    expect(spoiled(arp.HARDWARE + 1, 6)).toBe(arp.BAD.hardware);
    expect(spoiled(arp.PROTOCOL, 0x86)).toBe(arp.BAD.protocol);
    expect(spoiled(arp.HARDWARE_BYTES, 8)).toBe(arp.BAD.length);
    expect(spoiled(arp.PROTOCOL_BYTES, 16)).toBe(arp.BAD.length);
    expect(spoiled(arp.OPERATION_FIELD + 1, 9)).toBe(0);
    expect(arp.check(viewOf(bytesOf(arp, request)), 0, arp.PACKET_BYTES - 1)).toBe(arp.BAD.short);
  });

  test("takes any bytes without a throw", () => {
    fc.assert(
      fc.property(mangled(record.map((one) => bytesOf(arp, one))), (data) => {
        const parsed = expectStable(arp, data);
        expect(parsed === undefined).toBe(arp.check(viewOf(data), 0, data.length) !== 0);
      }),
      { numRuns: 500 },
    );
  });

  test("refuses what no packet can hold", () => {
    const view = new DataView(new ArrayBuffer(28));
    expect(() => arp.emit({ ...request, operation: 65536 }, view, 0)).toThrow("operation");
    expect(() => arp.emit({ ...request, senderAddress: IpAddress.parse("::1") }, view, 0)).toThrow(
      "senderAddress",
    );
    expect(() => arp.emit({ ...request, targetAddress: IpAddress.parse("::1") }, view, 0)).toThrow(
      "targetAddress",
    );
  });
});
