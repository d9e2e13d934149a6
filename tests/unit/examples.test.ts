/**
 * The parts of the examples that compute: layers, checksums, turning around, talkers, claims from words, figures.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createBurst, Frame, type Queue } from "../../index.ts";
import { completeChecksum } from "../../examples/support/checksum.ts";
import { readClaims } from "../../examples/support/claims.ts";
import { Meter, packetRate } from "../../examples/support/meter.ts";
import { Layers } from "../../examples/support/layers.ts";
import { claimsOf, readOwn } from "../../examples/support/own-address.ts";
import { reverse } from "../../examples/support/reverse.ts";
import { RoundTrips } from "../../examples/support/round-trips.ts";
import { Talkers } from "../../examples/support/talkers.ts";
import {
  bytes,
  ethernet,
  ETHERTYPE,
  internetChecksum,
  ipv4,
  ipv4Address,
  ipv6,
  ipv6Address,
  PROTOCOL,
  u16,
  u32,
  udp,
} from "../support/packets.ts";

const AT = 64;
const CHUNK = 4096;
const UDP_AT = { ipv4: 14 + 20, ipv6: 14 + 40 } as const;
const CHECKSUM = 6;

/** A frame of those bytes, cut in two at `cut` (0 for one piece). */
const frameOf = (packet: Uint8Array, cut = 0): Frame => {
  const area = new Uint8Array(2 * CHUNK).fill(0xa5);
  const burst = createBurst(2);
  const head = cut === 0 ? packet.length : cut;
  area.set(packet.subarray(0, head), AT);
  area.set(packet.subarray(head), CHUNK + AT);
  burst.address[1] = CHUNK + AT;
  burst.length[1] = packet.length - head;
  const umem = { bytes: area, view: new DataView(area.buffer) };
  const frame = new Frame({ umem } as unknown as Queue, burst);
  frame.begin(AT, head, packet.length, 0, cut === 0 ? 1 : 2);
  return frame;
};

const read = (frame: Frame): Layers => new Layers().read(frame.view, frame.at, frame.head);

/** A datagram over either version with the checksum `partial` or whole, by a sum of the test's own. */
const datagram = (six: boolean, payload: Uint8Array, partial: boolean): Uint8Array => {
  const message = udp(9000, payload);
  const addresses = six
    ? [...ipv6Address("2001:db8::1"), ...ipv6Address("2001:db8::2")]
    : [...ipv4Address("10.0.0.1"), ...ipv4Address("10.0.0.2")];
  const pseudo = bytes(addresses, u32(message.length), u32(PROTOCOL.udp));
  const checksum = partial
    ? ~internetChecksum(pseudo) & 0xffff
    : internetChecksum(bytes(pseudo, message)) || 0xffff;
  message.set(u16(checksum), CHECKSUM);
  return six
    ? ethernet(ETHERTYPE.ipv6, ipv6({ next: PROTOCOL.udp }, message))
    : ethernet(ETHERTYPE.ipv4, ipv4({ protocol: PROTOCOL.udp }, message));
};

describe("checksums", () => {
  test("a partial one becomes what a whole one is, in one piece or cut at any byte", () => {
    const payloads = fc.uint8Array({ minLength: 1, maxLength: 1400 });
    fc.assert(
      fc.property(payloads, fc.boolean(), fc.nat(), (payload, six, where) => {
        const whole = datagram(six, payload, false);
        const least = UDP_AT[six ? "ipv6" : "ipv4"] + 8;
        for (const cut of [0, least + (where % (whole.length - least))]) {
          const frame = frameOf(datagram(six, payload, true), cut);
          expect(completeChecksum(frame, read(frame))).toBe(true);
          expect(frame.copy()).toEqual(whole);
        }
      }),
    );
  });

  test("a whole one is left as it is", () => {
    const whole = datagram(false, Uint8Array.of(1, 2, 3), false);
    const frame = frameOf(whole);
    expect(completeChecksum(frame, read(frame))).toBe(false);
    expect(frame.copy()).toEqual(whole);
  });

  test("a datagram that claims to be longer than its frame is left as it is", () => {
    const cut = datagram(false, new Uint8Array(100), true).subarray(0, 80);
    const frame = frameOf(cut);
    expect(completeChecksum(frame, read(frame))).toBe(false);
    expect(frame.copy()).toEqual(Uint8Array.from(cut));
  });
});

describe("layers", () => {
  test("no cut and no noise makes them look past the frame", () => {
    const packets = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.nat(60).map((length) => datagram(true, new Uint8Array(9), false).subarray(0, length)),
    );
    fc.assert(
      fc.property(packets, (packet) => {
        // A view of exactly the packet: reading past it throws.
        const view = new DataView(Uint8Array.from(packet).buffer);
        const layers = new Layers().read(view, 0, packet.length);
        layers.findsNeighbours(view);
      }),
    );
  });

  test("a frame turned around twice is the frame", () => {
    for (const six of [false, true]) {
      const packet = datagram(six, Uint8Array.of(7), false);
      const frame = frameOf(packet);
      reverse(frame.view, frame.at, read(frame));
      expect(frame.view.getUint16(frame.at + UDP_AT[six ? "ipv6" : "ipv4"])).toBe(9000);
      reverse(frame.view, frame.at, read(frame));
      expect(frame.copy()).toEqual(packet);
    }
  });
});

describe("talkers", () => {
  const count = (talkers: Talkers, packet: Uint8Array): void => {
    const frame = frameOf(packet);
    talkers.add(frame.view, frame.at, frame.length, read(frame));
  };

  test("are told apart by address, and written as people write them", () => {
    const talkers = new Talkers();
    for (let i = 0; i < 3; i++) count(talkers, datagram(false, new Uint8Array(4), false));
    for (let i = 0; i < 2; i++) count(talkers, datagram(true, new Uint8Array(4), false));
    count(talkers, ethernet(ETHERTYPE.arp, [1]));
    expect(talkers.top(5).map(({ address, packets }) => [address, packets])).toEqual([
      ["10.0.0.1", 3],
      ["2001:db8::1", 2],
      ["02:00:00:00:00:0a", 1],
    ]);
  });

  test("beyond the limit are counted together", () => {
    const talkers = new Talkers();
    for (let i = 0; i < 5000; i++) {
      const from = `10.0.${i >>> 8}.${i & 255}`;
      count(talkers, ethernet(ETHERTYPE.ipv4, ipv4({ from, protocol: PROTOCOL.udp }, udp(1))));
    }
    expect(talkers.count).toBe(4096);
    expect(talkers.otherPackets).toBe(5000 - 4096);
    expect(new Set(talkers.top(5000).map(({ address }) => address)).size).toBe(4096);
  });
});

test("claims of addresses: what is sent to them, and who asks for them", () => {
  const addresses = ["10.0.0.9/24", "2001:db8::12:3456/64"].map((text) => readOwn("--address", text).address);
  expect(claimsOf(addresses)).toEqual([
    { destination: "10.0.0.9" },
    { arp: true, destination: "10.0.0.9" },
    { destination: "2001:db8::12:3456" },
    { destination: "ff02::1:ff12:3456" },
  ]);
  for (const text of ["10.0.0.9", "10.0.0.9/33", "here/24", ""])
    expect(() => readOwn("--address", text)).toThrow("such as 10.0.0.9/24");
});

test("round trips: the figures of ping, each request counted once", () => {
  const trips = new RoundTrips();
  expect(trips.figures()).toMatchObject({ sent: 0, lossPercent: 0, minMs: undefined });
  for (let i = 0; i < 5; i++) expect(trips.next(10 * i)).toBe(i);
  expect(trips.answered(0, 2)).toBe(2);
  expect(trips.answered(2, 24)).toBe(4);
  expect(trips.answered(1, 16)).toBe(6);
  // One too many, one that was never sent, an error and a late answer after it.
  expect(trips.answered(1, 17)).toBeUndefined();
  expect(trips.answered(77, 17)).toBeUndefined();
  trips.failed(3);
  expect(trips.answered(3, 99)).toBeUndefined();
  expect(trips.settled).toBe(false);
  trips.failed(4);
  expect(trips.settled).toBe(true);
  expect(trips.figures()).toMatchObject({
    ...{ sent: 5, received: 3, duplicates: 3, errors: 2, lossPercent: 40 },
    ...{ minMs: 2, avgMs: 4, maxMs: 6 },
  });
  expect(trips.figures().mdevMs).toBeCloseTo(Math.sqrt(8 / 3));
});

test("claims from words", () => {
  expect(readClaims(undefined)).toBe("everything");
  expect(
    readClaims(["udp=9000", "source=10.0.0.0/8,tcp=443", "icmp", "ethertype=0x88b5", "protocol=sctp"]),
  ).toEqual([
    { udp: 9000 },
    { source: "10.0.0.0/8", tcp: 443 },
    { icmp: true },
    { ethertype: 0x88b5 },
    { protocol: "sctp" },
  ]);
  for (const word of ["", "udp", "udp=", "udp=x", "colour=red", "icmp=1"]) {
    expect(() => readClaims([word])).toThrow("--claim");
  }
});

test("rates", () => {
  const meter = new Meter(1000, { packets: 10 });
  expect(meter.rates(1500, { packets: 20 })).toEqual({ packets: 20 });
  expect(meter.rates(2500, { packets: 1_020 })).toEqual({ packets: 1000 });
  expect([0, 999, 1234, 45_600, 999_999, 12_345_678].map(packetRate)).toEqual([
    "0 pps",
    "999 pps",
    "1.23 kpps",
    "45.6 kpps",
    "1.00 Mpps",
    "12.3 Mpps",
  ]);
});
