/** Cutting packets: what each piece says, and that all pieces together, in any order, are the packet again. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  countFragments4,
  countFragments6,
  fragment4,
  fragment6,
  type FragmentSink,
  PacketPieces,
  REFUSED,
} from "../../stack/ip/fragments/fragments.ts";
import { Reassembler } from "../../stack/ip/fragments/reassembly.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as chain from "../../stack/wire/ipv6-walk.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { fragmentAtOf, pattern, piece4, piece6, viewOf } from "../support/fragment-maker.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

const POISON = 0xa5;
/** Bytes around a packet that must stay as they are. */
const MARGIN = 64;

/** Takes packets into poisoned memory; `room` of them. */
class Basket implements FragmentSink {
  readonly view: DataView;
  readonly packets: Uint8Array[] = [];
  readonly #bytes = new Uint8Array(70_000).fill(POISON);
  #room: number;

  constructor(room = Infinity) {
    this.#room = room;
    this.view = viewOf(this.#bytes);
  }

  begin(lengthBytes: number): number {
    if (this.packets.length >= this.#room) return -1;
    this.#bytes.fill(POISON, 0, MARGIN + lengthBytes + MARGIN);
    return MARGIN;
  }

  end(at: number, lengthBytes: number): void {
    const end = at + lengthBytes;
    this.packets.push(this.#bytes.slice(at, end));
    expect(this.#bytes.subarray(0, at).every((byte) => byte === POISON)).toBe(true);
    expect(this.#bytes.subarray(end, end + MARGIN).every((byte) => byte === POISON)).toBe(true);
  }
}

/** A packet as one piece, or torn in two at `tear`. */
const pieces = (packet: Uint8Array, tear = packet.length): PacketPieces => {
  const apart = Uint8Array.from([...packet.subarray(tear)]);
  const view = viewOf(packet);
  return tear >= packet.length
    ? new PacketPieces().whole(view, 0, packet.length)
    : new PacketPieces().join(view, 0, tear, viewOf(apart), 0, apart.length);
};

const bytesOf = (view: DataView): Uint8Array =>
  new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);

/** A whole IPv4 packet. */
const packet4 = (payload: Uint8Array, options?: Uint8Array): Uint8Array =>
  bytesOf(piece4({ offset: 0, more: false, data: payload, ...(options && { headers: options }) }));

/** A whole IPv6 packet: `headers` go before the payload, and the first of them is named `firstHeader`. */
const packet6 = (
  payload: Uint8Array,
  firstHeader: number = PROTOCOL.UDP,
  headers: Uint8Array = new Uint8Array(0),
) => {
  const withFragment = bytesOf(piece6({ offset: 0, more: false, data: payload, firstHeader, headers }));
  const end = fragmentAtOf(headers);
  const packet = Uint8Array.from([
    ...withFragment.subarray(0, end),
    ...withFragment.subarray(end + chain.FRAGMENT_BYTES),
  ]);
  ipv6.setPayloadLength(viewOf(packet), 0, packet.length - ipv6.HEADER_BYTES);
  return packet;
};

describe("an IPv4 packet", () => {
  test("that fits goes as it is", () => {
    const packet = packet4(pattern(100));
    const basket = new Basket();
    expect(fragment4(pieces(packet), 120, 7, basket)).toBe(1);
    expect(basket.packets).toEqual([packet]);
  });

  test("is cut into pieces of the MTU with right headers", () => {
    const payload = pattern(100);
    const basket = new Basket();
    expect(countFragments4(pieces(packet4(payload)), 68)).toBe(3);
    expect(fragment4(pieces(packet4(payload)), 68, 0xbeef, basket)).toBe(3);
    const parts = basket.packets.map((packet) => ipv4.parse(viewOf(packet), 0, packet.length)!);
    expect(parts.map((each) => [each.fragmentOffset, each.payloadLength, each.moreFragments])).toEqual([
      [0, 48, true],
      [48, 48, true],
      [96, 4, false],
    ]);
    for (const each of parts)
      expect(each).toMatchObject({ identification: 0xbeef, ttl: 64, dontFragment: false });
  });

  test("repeats those options only that say so", () => {
    const options = Uint8Array.of(
      ...[ipv4.OPTION.RECORD_ROUTE, 7, 4, 0, 0, 0, 0],
      ipv4.OPTION.NO_OPERATION,
      ...[ipv4.OPTION.ROUTER_ALERT, 4, 1, 2],
      ...[ipv4.OPTION.LOOSE_SOURCE_ROUTE, 7, 4, 10, 0, 0, 1],
      ipv4.OPTION.END,
    );
    const basket = new Basket();
    expect(fragment4(pieces(packet4(pattern(200), options)), 100, 1, basket)).toBeGreaterThan(2);
    const [first, ...others] = basket.packets;
    expect(first!.subarray(ipv4.OPTIONS, ipv4.OPTIONS + options.length)).toEqual(options);
    for (const each of others) {
      const header = ipv4.headerBytes(viewOf(each), 0);
      expect(ipv4.check(viewOf(each), 0, each.length)).toBe(0);
      expect([...each.subarray(ipv4.OPTIONS, header)]).toEqual([
        ...[ipv4.OPTION.ROUTER_ALERT, 4, 1, 2],
        ...[ipv4.OPTION.LOOSE_SOURCE_ROUTE, 7, 4, 10, 0, 0, 1],
        ipv4.OPTION.END,
      ]);
    }
  });

  test("that is a fragment is cut once more, and its place kept", () => {
    const piece = bytesOf(piece4({ offset: 800, more: true, data: pattern(96), identification: 5 }));
    const basket = new Basket();
    expect(fragment4(pieces(piece), 84, 5, basket)).toBe(2);
    const parts = basket.packets.map((packet) => ipv4.parse(viewOf(packet), 0, packet.length)!);
    expect(parts.map((each) => [each.fragmentOffset, each.payloadLength, each.moreFragments])).toEqual([
      [800, 64, true],
      [864, 32, true],
    ]);
  });

  test("is refused with a reason", () => {
    const packet = packet4(pattern(100));
    const refused = (bytes: Uint8Array, mtu: number, room?: number): number =>
      fragment4(pieces(bytes), mtu, 1, new Basket(room));
    expect(refused(packet, 27)).toBe(REFUSED.mtu);
    expect(refused(packet, -1)).toBe(REFUSED.mtu);
    expect(refused(packet, 28)).toBe(13);
    expect(refused(packet, 68, 2)).toBe(REFUSED.noRoom);
    expect(refused(packet, 1500, 0)).toBe(REFUSED.noRoom);
    expect(refused(packet.subarray(0, 19), 10)).toBe(REFUSED.malformed);
    const broken = packet.slice();
    broken[ipv4.VERSION_LENGTH] = 0x44;
    expect(refused(broken, 68)).toBe(REFUSED.malformed);
    broken[ipv4.VERSION_LENGTH] = 0x4f;
    expect(refused(broken.subarray(0, 59), 50)).toBe(REFUSED.malformed);
    const kept = bytesOf(piece4({ offset: 0, more: false, data: pattern(100), dontFragment: true }));
    expect(refused(kept, 119)).toBe(REFUSED.dontFragment);
    expect(refused(kept, 120)).toBe(1);
    expect(refused(new Uint8Array(65_536).fill(0x45), 1500)).toBe(REFUSED.tooLong);
    expect(refused(bytesOf(piece4({ offset: 65_400, more: false, data: pattern(200) })), 68)).toBe(
      REFUSED.tooLong,
    );
    expect(refused(bytesOf(piece4({ offset: 8, more: true, data: pattern(101) })), 68)).toBe(
      REFUSED.malformed,
    );
  });
});

describe("an IPv6 packet", () => {
  const HOP_BY_HOP = Uint8Array.of(PROTOCOL.DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0);
  const BEFORE_ROUTING = Uint8Array.of(PROTOCOL.ROUTING, 0, 1, 4, 0, 0, 0, 0);
  const ROUTING = Uint8Array.of(PROTOCOL.DESTINATION_OPTIONS, 0, 2, 0, 0, 0, 0, 0);
  const LAST = Uint8Array.of(PROTOCOL.UDP, 0, 1, 4, 0, 0, 0, 0);

  test("that fits goes as it is", () => {
    const packet = packet6(pattern(1240));
    const basket = new Basket();
    expect(fragment6(pieces(packet), 1280, 7, basket)).toBe(1);
    expect(basket.packets).toEqual([packet]);
  });

  test("repeats all up to the routing header, or the hop-by-hop options, or the header alone", () => {
    const join = (...headers: Uint8Array[]): Uint8Array =>
      Uint8Array.from(headers.flatMap((each) => [...each]));
    const cases: readonly (readonly [first: number, headers: Uint8Array, repeated: number, next: number])[] =
      [
        [PROTOCOL.UDP, join(), 0, PROTOCOL.UDP],
        [PROTOCOL.DESTINATION_OPTIONS, LAST, 0, PROTOCOL.DESTINATION_OPTIONS],
        [PROTOCOL.HOP_BY_HOP, join(HOP_BY_HOP, LAST), 8, PROTOCOL.DESTINATION_OPTIONS],
        [
          PROTOCOL.HOP_BY_HOP,
          join(HOP_BY_HOP, BEFORE_ROUTING, ROUTING, LAST),
          24,
          PROTOCOL.DESTINATION_OPTIONS,
        ],
      ];
    for (const [firstHeader, headers, repeated, next] of cases) {
      const packet = packet6(pattern(2000), firstHeader, headers);
      const basket = new Basket();
      expect(fragment6(pieces(packet), 1280, -5, basket)).toBe(2);
      const start = ipv6.HEADER_BYTES + repeated;
      for (const [i, each] of basket.packets.entries()) {
        const view = viewOf(each);
        expect(ipv6.check(view, 0, each.length)).toBe(0);
        expect(ipv6.totalLength(view, 0)).toBe(each.length);
        expect(each.length).toBeLessThanOrEqual(1280);
        const found = new chain.Walk();
        const length = each.length - ipv6.HEADER_BYTES;
        expect(chain.walk(view, ipv6.HEADER_BYTES, length, ipv6.nextHeader(view, 0), found)).toBe(0);
        expect([found.protocol, found.at]).toEqual([PROTOCOL.FRAGMENT, start]);
        expect(each[start + chain.NEXT_HEADER]).toBe(next);
        expect(each[start + chain.FRAGMENT_RESERVED]).toBe(0);
        expect(chain.identification(view, start)).toBe(-5);
        expect(chain.moreFragments(view, start)).toBe(i === 0);
        expect(chain.fragmentOffset(view, start)).toBe(i * 8 * Math.floor((1280 - start - 8) / 8));
      }
    }
  });

  test("is refused with a reason", () => {
    const refused = (packet: Uint8Array, mtu: number, room?: number): number =>
      fragment6(pieces(packet), mtu, 1, new Basket(room));
    const packet = packet6(pattern(2000));
    expect(refused(packet, 55)).toBe(REFUSED.mtu);
    expect(refused(packet, 1280, 1)).toBe(REFUSED.noRoom);
    expect(refused(packet.subarray(0, 39), 20)).toBe(REFUSED.malformed);
    expect(refused(new Uint8Array(40 + 65_536), 1280)).toBe(REFUSED.tooLong);
    const endless = new Uint8Array(2000);
    endless[ipv6.NEXT_HEADER] = PROTOCOL.ROUTING;
    endless.fill(PROTOCOL.ROUTING, ipv6.HEADER_BYTES);
    expect(refused(endless, 1280)).toBe(REFUSED.malformed);
    // Headers that the first piece could not hold (RFC 7112).
    const long = Uint8Array.from({ length: 1280 }, (_, i) => (i === 0 ? PROTOCOL.UDP : i === 1 ? 159 : 0));
    expect(refused(packet6(pattern(400), PROTOCOL.DESTINATION_OPTIONS, long), 1280)).toBe(REFUSED.mtu);
    expect(refused(packet6(pattern(400), PROTOCOL.DESTINATION_OPTIONS, long), 1344)).toBe(2);
  });
});

/** A packet of either family with its MTU. */
const cuts = fc
  .record({
    six: fc.boolean(),
    bytes: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 9, max: 4000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 9, max: 65_475 }) },
    ),
    room: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 9000 })),
    extra: fc.boolean(),
    tear: fc.nat({ max: 200 }),
    seed: fc.nat({ max: 255 }),
  })
  .map(({ six, bytes, room, extra, tear, seed }) => {
    const payload = pattern(bytes, seed);
    const options = Uint8Array.of(
      ipv4.OPTION.TIMESTAMP,
      8,
      5,
      0,
      1,
      2,
      3,
      4,
      ipv4.OPTION.ROUTER_ALERT,
      4,
      0,
      0,
    );
    const hops = Uint8Array.of(PROTOCOL.UDP, 0, 1, 4, 0, 0, 0, 0);
    const packet: Uint8Array = six
      ? extra
        ? packet6(payload, PROTOCOL.HOP_BY_HOP, hops)
        : packet6(payload)
      : packet4(payload, extra ? options : undefined);
    // A large packet in tiny pieces is only slow.
    const least = (six ? ipv6.MINIMUM_MTU : 68) + (bytes > 9000 ? 1000 : 0);
    return {
      six,
      packet,
      mtu: least + room,
      tear,
      fragmentAt: fragmentAtOf(six && extra ? hops : undefined),
    };
  });

type Cut = typeof cuts extends fc.Arbitrary<infer T> ? T : never;

const cut = ({ six, packet, mtu, tear }: Cut): Uint8Array[] => {
  const basket = new Basket();
  const split = pieces(packet, tear);
  const count = six ? fragment6(split, mtu, 77, basket) : fragment4(split, mtu, 77, basket);
  expect(count).toBe(basket.packets.length);
  expect(six ? countFragments6(split, mtu) : countFragments4(split, mtu)).toBe(count);
  return basket.packets;
};

const setUp = () => {
  const time = new VirtualTime();
  return { time, reassembler: new Reassembler(time, { expired: () => {} }, { slots: 4 }) };
};

const add = (reassembler: Reassembler, { six, fragmentAt }: Cut, piece: Uint8Array): number =>
  six
    ? reassembler.add6(viewOf(piece), 0, piece.length, fragmentAt, 1)
    : reassembler.add4(viewOf(piece), 0, piece.length, 1);

/** Any order of `list`, by numbers that come from outside. */
const shuffled = <T>(list: readonly T[], keys: readonly number[]): T[] =>
  list
    .map((each, i) => ({ each, key: keys[i % keys.length]! * ((i % 7) + 1) + ((i * 37) % 11) }))
    .sort((a, b) => a.key - b.key)
    .map(({ each }) => each);

const keys = fc.array(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 50 });

describe("pieces", () => {
  test("in any order, some twice, are the packet again", () => {
    fc.assert(
      fc.property(cuts, keys, fc.array(fc.nat({ max: 200 }), { maxLength: 5 }), (made, order, again) => {
        const parts = cut(made);
        for (const part of parts) expect(part.length).toBeLessThanOrEqual(Math.max(made.mtu, 0));
        if (parts.length === 1) return expect(parts).toEqual([made.packet]);
        const { reassembler } = setUp();
        const mixed = shuffled(parts, order);
        const last = mixed.pop()!;
        const early = [...mixed, ...again.flatMap((i) => (i < mixed.length ? [mixed[i]!] : []))];
        for (const part of shuffled(early, order)) expect(add(reassembler, made, part)).toBe(-1);
        const slot = add(reassembler, made, last);
        expect(slot).toBeGreaterThanOrEqual(0);
        const at = reassembler.slotAt(slot);
        const whole: Uint8Array = reassembler.bytes.slice(at, at + reassembler.slotLength(slot));
        // The identification stays in IPv4's header, and the checksum with it.
        if (!made.six) {
          ipv4.setIdentification(viewOf(made.packet), 0, 77);
          ipv4.setChecksum(viewOf(made.packet), 0);
        }
        expect(whole).toEqual(made.packet);
        reassembler.free(slot);
        expect(reassembler.statistics()).toMatchObject({ freeSlots: 4, completed: 1, abandoned: 0 });
      }),
      { numRuns: 300 },
    );
  });

  test("with one that overlaps among them are never a packet", () => {
    const overlap = fc.record({
      which: fc.nat(),
      shift: fc.integer({ min: -3, max: 3 }),
      size: fc.nat({ max: 9 }),
      flip: fc.boolean(),
    });
    fc.assert(
      fc.property(cuts, keys, overlap, (made, order, { which, shift, size, flip }) => {
        const parts = cut(made);
        fc.pre(parts.length > 2);
        const { reassembler, time } = setUp();
        const chosen = parts[which % parts.length]!;
        const bad = mutant(made, chosen, shift, size, flip);
        fc.pre(bad !== undefined);
        // What it is made from comes before it, or else it could stand in for that and nobody could tell.
        const [last, ...mixed] = shuffled(
          parts.filter((part) => part !== chosen),
          order,
        );
        const slots = [chosen, ...mixed, bad!, last!, ...parts, bad!, ...mixed, chosen].map((part) =>
          add(reassembler, made, part),
        );
        expect(slots.every((slot) => slot === -1)).toBe(true);
        expect(reassembler.statistics()).toMatchObject({ completed: 0, abandoned: 1 });
        time.advance(60_000);
        expect(reassembler.statistics()).toMatchObject({ freeSlots: 4, timedOut: 0 });
      }),
      { numRuns: 300 },
    );
  });
});

/** One of the pieces moved, shortened or with another byte, still a fragment that could be. */
const mutant = (
  { six, fragmentAt }: Cut,
  part: Uint8Array,
  shift: number,
  size: number,
  flip: boolean,
): Uint8Array | undefined => {
  const copy = part.slice();
  const view = viewOf(copy);
  const header = six ? fragmentAt + chain.FRAGMENT_BYTES : ipv4.headerBytes(view, 0);
  const field = six ? fragmentAt + chain.FRAGMENT_OFFSET : ipv4.FLAGS_OFFSET;
  const offset = six ? chain.fragmentOffset(view, fragmentAt) : ipv4.fragmentOffset(view, 0);
  const more = six ? chain.moreFragments(view, fragmentAt) : ipv4.moreFragments(view, 0);
  const moved = offset + shift * 8;
  const kept = more ? copy.length - header - size * 8 : copy.length - header;
  if (moved < 0 || kept < 8 || (moved === 0 && !more)) return undefined;
  // Moved past the end with nothing in common, or to a place where it is no first fragment: not what is tested here.
  if (!more && shift !== 0) return undefined;
  if (moved === 0 && offset !== 0) return undefined;
  if (shift === 0 && kept === copy.length - header) {
    if (!flip) return undefined;
    copy[header + kept - 1]! ^= 0x55;
  }
  if (six) view.setUint16(field, moved | (more ? 1 : 0));
  else ipv4.setFragment(view, 0, more ? ipv4.MORE_FRAGMENTS : 0, moved);
  return copy.subarray(0, header + kept);
};
