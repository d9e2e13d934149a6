/** IPv4 headers: round trips with options, known bytes, each thing that can be wrong, changes in place, any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { checksum } from "../../stack/wire/checksum.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv4 as address,
  mangled,
  uint16,
  uint8,
  viewOf,
} from "../support/records.ts";

/** Headers with their payload, which is zeros. */
const packet = {
  lengthOf: (record: ipv4.Ipv4Record): number => ipv4.lengthOf(record) + record.payloadLength,
  emit: (record: ipv4.Ipv4Record, view: DataView, at: number): number => {
    const header = ipv4.emit(record, view, at);
    new Uint8Array(view.buffer, view.byteOffset + at + header, record.payloadLength).fill(0);
    return header + record.payloadLength;
  },
  parse: ipv4.parse,
};

const option: fc.Arbitrary<ipv4.Ipv4Option> = fc.oneof(
  fc.constant({ type: ipv4.OPTION.NO_OPERATION, data: new Uint8Array(0) }),
  fc.record({ type: fc.integer({ min: 2, max: 255 }), data: bytes(10) }),
);
const options = fc
  .array(option, { maxLength: 8 })
  .filter((all) => ipv4.optionsLength(all) <= ipv4.MAX_OPTION_BYTES);
const record: fc.Arbitrary<ipv4.Ipv4Record> = fc.record({
  dscp: fc.nat(63),
  ecn: fc.nat(3),
  identification: uint16,
  dontFragment: fc.boolean(),
  moreFragments: fc.boolean(),
  fragmentOffset: fc.nat(0x1fff).map((units) => units * 8),
  ttl: uint8,
  protocol: uint8,
  source: address,
  destination: address,
  options,
  payloadLength: fc.nat(60),
});
const plain: ipv4.Ipv4Record = {
  dscp: 0,
  ecn: 0,
  identification: 0x1c46,
  dontFragment: true,
  moreFragments: false,
  fragmentOffset: 0,
  ttl: 64,
  protocol: PROTOCOL.TCP,
  source: IpAddress.parse("172.16.10.99"),
  destination: IpAddress.parse("172.16.10.12"),
  options: [],
  payloadLength: 40,
};

describe("an IPv4 header", () => {
  test("comes back from its bytes, options too", () => {
    fc.assert(
      fc.property(record, (one) => void expectRoundTrip(packet, one)),
      { numRuns: 500 },
    );
  });

  test("has the bytes that it should", () => {
    expect(bytesOf(ipv4, plain).toHex()).toBe("4500003c1c4640004006b1e6ac100a63ac100a0c");
    const alert = { ...plain, options: [{ type: ipv4.OPTION.ROUTER_ALERT, data: Uint8Array.of(0, 0) }] };
    expect(bytesOf(ipv4, alert).subarray(ipv4.OPTIONS).toHex()).toBe("94040000");
  });

  test("gives each field in place", () => {
    fc.assert(
      fc.property(record, (one) => {
        const view = viewOf(bytesOf(packet, one));
        expect(ipv4.check(view, 0, view.byteLength)).toBe(0);
        expect(ipv4.version(view, 0)).toBe(4);
        expect(ipv4.headerBytes(view, 0)).toBe(ipv4.lengthOf(one));
        expect(ipv4.typeOfService(view, 0)).toBe(one.dscp * 4 + one.ecn);
        expect(ipv4.totalLength(view, 0)).toBe(view.byteLength);
        expect(ipv4.isFragment(view, 0)).toBe(one.moreFragments || one.fragmentOffset > 0);
        expect(ipv4.sourceWord(view, 0)).toBe(one.source.w3);
        expect(ipv4.destinationWord(view, 0)).toBe(one.destination.w3);
      }),
    );
  });

  test("takes each field in place", () => {
    fc.assert(
      fc.property(record, record, (before, other) => {
        const view = viewOf(bytesOf(packet, before));
        const after = { ...other, options: before.options, payloadLength: before.payloadLength };
        ipv4.setDscp(view, 0, after.dscp);
        ipv4.setEcn(view, 0, after.ecn);
        ipv4.setIdentification(view, 0, after.identification);
        const flags =
          (after.dontFragment ? ipv4.DONT_FRAGMENT : 0) | (after.moreFragments ? ipv4.MORE_FRAGMENTS : 0);
        ipv4.setFragment(view, 0, flags, after.fragmentOffset);
        ipv4.setTtl(view, 0, after.ttl);
        ipv4.setProtocol(view, 0, after.protocol);
        ipv4.setSourceWord(view, 0, after.source.w3);
        ipv4.setDestinationWord(view, 0, after.destination.w3);
        ipv4.setChecksum(view, 0);
        expect(ipv4.parse(view, 0, view.byteLength)).toEqual(after);
      }),
    );
  });

  test("without options is written at once", () => {
    fc.assert(
      fc.property(record, (one) => {
        const bare = { ...one, options: [], moreFragments: false, fragmentOffset: 0, payloadLength: 0 };
        const view = new DataView(new Uint8Array(ipv4.HEADER_BYTES).fill(0xa5).buffer);
        ipv4.writeHeader(
          view,
          0,
          one.dscp * 4 + one.ecn,
          ipv4.HEADER_BYTES,
          one.identification,
          one.dontFragment ? ipv4.DONT_FRAGMENT : 0,
          one.ttl,
          one.protocol,
          one.source.w3,
          one.destination.w3,
        );
        expect(ipv4.parse(view, 0, view.byteLength)).toEqual(bare);
      }),
    );
  });

  test("stays right when turned around", () => {
    fc.assert(
      fc.property(record, (one) => {
        const view = viewOf(bytesOf(packet, one));
        ipv4.swapAddresses(view, 0);
        const turned = { ...one, source: one.destination, destination: one.source };
        expect(ipv4.parse(view, 0, view.byteLength)).toEqual(turned);
      }),
    );
  });

  test("loses a hop and keeps a right checksum", () => {
    fc.assert(
      fc.property(
        record.filter(({ ttl }) => ttl > 0),
        (one) => {
          const view = viewOf(bytesOf(packet, one));
          ipv4.decrementTtl(view, 0);
          expect(ipv4.parse(view, 0, view.byteLength)).toEqual({ ...one, ttl: one.ttl - 1 });
          const updated = ipv4.checksum(view, 0);
          ipv4.setChecksum(view, 0);
          expect(updated).toBe(ipv4.checksum(view, 0));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("says what is wrong with it", () => {
    const good = bytesOf(packet, plain);
    const judged = (spoil: (data: Uint8Array) => void, length = good.length): number => {
      const data = good.slice();
      spoil(data);
      return ipv4.check(viewOf(data), 0, length);
    };
    const nothing = (): void => {};
    expect(judged(nothing)).toBe(0);
    expect(judged(nothing, ipv4.HEADER_BYTES - 1)).toBe(ipv4.BAD.short);
    expect(judged(nothing, 0)).toBe(ipv4.BAD.short);
    expect(judged((data) => (data[ipv4.VERSION_LENGTH] = 0x65))).toBe(ipv4.BAD.version);
    expect(judged((data) => (data[ipv4.VERSION_LENGTH] = 0x44))).toBe(ipv4.BAD.header);
    expect(judged((data) => (data[ipv4.VERSION_LENGTH] = 0x46), ipv4.HEADER_BYTES)).toBe(ipv4.BAD.header);
    expect(judged((data) => (data[ipv4.TOTAL_LENGTH + 1] = 19))).toBe(ipv4.BAD.total);
    expect(judged(nothing, good.length - 1)).toBe(ipv4.BAD.total);
    for (let at = ipv4.TTL; at < ipv4.HEADER_BYTES; at++)
      expect(judged((data) => (data[at]! ^= 1))).toBe(ipv4.BAD.checksum);
    // Behind the packet there may be padding.
    expect(ipv4.check(viewOf(Uint8Array.of(...good, 0, 0, 0)), 0, good.length + 3)).toBe(0);
  });

  test("refuses a record that no header can hold, and names the field", () => {
    const view = new DataView(new ArrayBuffer(80));
    const long = { type: 7, data: new Uint8Array(39) };
    const bad: readonly (readonly [Partial<ipv4.Ipv4Record>, string])[] = [
      [{ dscp: 64 }, "dscp"],
      [{ ecn: 4 }, "ecn"],
      [{ identification: -1 }, "identification"],
      [{ fragmentOffset: 12 }, "fragmentOffset"],
      [{ fragmentOffset: 65536 }, "fragmentOffset"],
      [{ ttl: 256 }, "ttl"],
      [{ protocol: 0.5 }, "protocol"],
      [{ source: IpAddress.parse("::1") }, "source"],
      [{ destination: IpAddress.parse("::1") }, "destination"],
      [{ options: [{ type: 0, data: new Uint8Array(0) }] }, "option.type"],
      [{ options: [{ type: 1, data: new Uint8Array(1) }] }, "option.data"],
      [{ options: [long] }, "options"],
      [{ payloadLength: 65516 }, "payloadLength"],
    ];
    for (const [part, name] of bad) {
      expect(() => ipv4.emit({ ...plain, ...part }, view, 0)).toThrow(RangeError);
      expect(() => ipv4.emit({ ...plain, ...part }, view, 0)).toThrow(name);
    }
    expect(() => ipv4.emit({ ...plain, payloadLength: 65515 }, view, 0)).not.toThrow();
  });

  test("takes any bytes without a throw", () => {
    const valid = record.map((one) => bytesOf(packet, one));
    fc.assert(
      fc.property(mangled(valid), fc.boolean(), (data, mend) => {
        const view = viewOf(data);
        // A right checksum lets what is wrong otherwise through to the options.
        if (mend && data.length >= ipv4.HEADER_BYTES && ipv4.headerBytes(view, 0) <= data.length) {
          ipv4.setChecksum(view, 0);
        }
        const whole = new Uint8Array(view.buffer, view.byteOffset).slice();
        const parsed = expectStableHeader(whole);
        if (parsed !== undefined) expect(ipv4.check(view, 0, data.length)).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  /** As `expectStable`, for a packet with bytes behind it; those are not parsed. */
  const expectStableHeader = (data: Uint8Array): ipv4.Ipv4Record | undefined => {
    const parsed = ipv4.parse(viewOf(data), 0, data.length);
    if (parsed !== undefined) expect(expectStable(packet, bytesOf(packet, parsed))).toEqual(parsed);
    return parsed;
  };
});

describe("the options of an IPv4 header", () => {
  const walk = (list: Uint8Array): (number | string)[] => {
    const view = viewOf(list);
    const found: (number | string)[] = [];
    let at = 0;
    for (;;) {
      at = ipv4.findOption(view, at, list.length);
      if (at === ipv4.NO_OPTION) return found;
      if (at === ipv4.BAD_OPTION) return [...found, "bad"];
      found.push(ipv4.optionType(view, at));
      at += ipv4.optionBytes(view, at);
    }
  };

  test("are walked in place", () => {
    expect(walk(Uint8Array.of())).toEqual([]);
    expect(walk(Uint8Array.of(1, 1, 1, 1))).toEqual([]);
    expect(walk(Uint8Array.of(1, 148, 4, 0, 0, 7, 3, 4, 0, 99))).toEqual([148, 7]);
    expect(walk(Uint8Array.of(148, 4, 0))).toEqual(["bad"]);
    expect(walk(Uint8Array.of(148, 4, 0, 0, 7))).toEqual([148, "bad"]);
    expect(walk(Uint8Array.of(7, 0, 0, 0))).toEqual(["bad"]);
    expect(walk(Uint8Array.of(7, 1, 0, 0))).toEqual(["bad"]);
    expect(walk(Uint8Array.of(7, 2, 1, 9, 2))).toEqual([7, 9]);
  });

  test("are walked as they are parsed, in any bytes", () => {
    const list = fc.oneof(
      bytes(40),
      fc.array(fc.constantFrom(0, 1, 2, 3, 4, 7), { maxLength: 40 }).map((all) => Uint8Array.from(all)),
    );
    fc.assert(
      fc.property(list, (data) => {
        const parsed = ipv4.parseOptions(viewOf(data), 0, data.length);
        const walked = walk(data);
        expect(parsed === undefined).toBe(walked.at(-1) === "bad");
        if (parsed !== undefined)
          expect(parsed.map(({ type }) => type).filter((type) => type !== ipv4.OPTION.NO_OPERATION)).toEqual(
            walked as number[],
          );
      }),
      { numRuns: 2000 },
    );
  });

  test("that are malformed leave no record, though the header is right", () => {
    const data = bytesOf(packet, { ...plain, options: [{ type: 7, data: Uint8Array.of(4, 0) }] });
    const view = viewOf(data);
    view.setUint8(ipv4.OPTIONS + ipv4.OPTION_LENGTH, 5);
    ipv4.setChecksum(view, 0);
    expect(ipv4.check(view, 0, data.length)).toBe(0);
    expect(checksum(view, 0, ipv4.headerBytes(view, 0))).toBe(0);
    expect(ipv4.parse(view, 0, data.length)).toBeUndefined();
  });
});
