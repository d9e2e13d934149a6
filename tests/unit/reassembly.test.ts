/** Reassembly: what makes a packet and what must never make one, in virtual time, with every slot accounted for. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  Reassembler,
  type ReassemblyOptions,
  type ReassemblyStatistics,
} from "../../stack/ip/fragments/reassembly.ts";
import {
  HEADER_ROOM_BYTES,
  MIN_REASSEMBLY_SLOT_BYTES,
  PROBLEM,
  REASSEMBLY_TIMEOUT4_MS,
  REASSEMBLY_TIMEOUT6_MS,
} from "../../stack/ip/fragments/reassembly-options.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as chain from "../../stack/wire/ipv6-walk.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { fragmentAtOf, pattern, piece4, piece6, type Piece, viewOf } from "../support/fragment-maker.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

/** Hop-by-hop options of eight bytes, padding only, before a fragment header. */
const HOP_BY_HOP = Uint8Array.of(PROTOCOL.FRAGMENT, 0, 1, 4, 0, 0, 0, 0);

const setUp = (options: ReassemblyOptions = {}) => {
  const time = new VirtualTime();
  const expired: { bytes: Uint8Array; zone: number; atMs: number }[] = [];
  const problems: { code: number; pointer: number; length: number; zone: number }[] = [];
  const reassembler = new Reassembler(
    time,
    {
      expired: (view, at, length, zone) => {
        const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length).slice();
        expired.push({ bytes, zone, atMs: time.now });
      },
      problem: (_view, _ipAt, length, code, pointer, zone) =>
        void problems.push({ code, pointer, length, zone }),
    },
    options,
  );
  const add4 = (piece: Piece, zone = 1): number => {
    const view = piece4(piece);
    return reassembler.add4(view, 0, view.byteLength, zone);
  };
  const add6 = (piece: Piece, zone = 1): number => {
    const view = piece6(piece);
    return reassembler.add6(view, 0, view.byteLength, fragmentAtOf(piece.headers), zone);
  };
  const packet = (slot: number): Uint8Array => {
    const at = reassembler.slotAt(slot);
    return reassembler.bytes.slice(at, at + reassembler.slotLength(slot));
  };
  return { time, reassembler, expired, problems, add4, add6, packet };
};

/** What must be true of the counters at any time. */
const expectBalanced = (counts: ReassemblyStatistics): void => {
  const { accepted, atomic, duplicates, overlapping, conflicting, late, malformed, empty } = counts;
  const { misaligned, tooLong, tooLarge, incompleteChain, noRoom } = counts;
  const kept = accepted + atomic + duplicates + overlapping + conflicting + late;
  const refused = malformed + empty + misaligned + tooLong + tooLarge + incompleteChain + noRoom;
  expect(kept + refused).toBe(counts.fragments);
  const { completed, abandoned, timedOut, evicted, sourceEvicted, unsound, pending } = counts;
  expect(completed + abandoned + timedOut + evicted + sourceEvicted + unsound + pending).toBe(counts.started);
  expect(counts.freeSlots + counts.handedOut + pending + counts.abandonedSlots).toBe(counts.slots);
};

const DATA = pattern(40);
const part = (from: number, to: number, more = true): Piece => ({
  offset: from,
  more,
  data: DATA.subarray(from, to),
});
const [A, B, C] = [part(0, 16), part(16, 24), part(24, 40, false)];

describe("a datagram", () => {
  test("of IPv4 is whole in any order, with the first header put right", () => {
    const orders = [
      [A, B, C],
      [C, B, A],
      [B, A, C],
      [B, C, A],
      [C, A, B],
      [A, C, B],
    ];
    for (const [i, order] of orders.entries()) {
      const { reassembler, add4, packet } = setUp();
      const headers = Uint8Array.of(ipv4.OPTION.ROUTER_ALERT, 4, 0, 0);
      const slots = order.map((piece) =>
        add4({ ...piece, identification: i, ...(piece === A ? { headers, dontFragment: true } : {}) }),
      );
      expect(slots.slice(0, 2)).toEqual([-1, -1]);
      const whole = packet(slots[2]!);
      const view = viewOf(whole);
      expect(ipv4.check(view, 0, whole.length)).toBe(0);
      expect(ipv4.isFragment(view, 0)).toBe(false);
      expect(ipv4.dontFragment(view, 0)).toBe(true);
      expect(whole.length).toBe(ipv4.HEADER_BYTES + headers.length + DATA.length);
      expect(whole.subarray(ipv4.OPTIONS, ipv4.OPTIONS + headers.length)).toEqual(headers);
      expect(whole.subarray(ipv4.OPTIONS + headers.length)).toEqual(DATA);
      expectBalanced(reassembler.statistics());
      reassembler.free(slots[2]!);
      expect(reassembler.statistics()).toMatchObject({ completed: 1, freeSlots: 64, handedOut: 0 });
    }
  });

  test("of IPv6 loses its fragment header, also behind other headers", () => {
    for (const headers of [undefined, HOP_BY_HOP]) {
      const { reassembler, add6, packet } = setUp();
      const before = headers === undefined ? {} : { headers, firstHeader: PROTOCOL.HOP_BY_HOP };
      expect(add6({ ...C, ...before, protocol: PROTOCOL.TCP })).toBe(-1);
      expect(add6({ ...B, ...before })).toBe(-1);
      const slot = add6({ ...A, ...before });
      const whole = packet(slot);
      const view = viewOf(whole);
      const extensions = headers?.length ?? 0;
      expect(ipv6.check(view, 0, whole.length)).toBe(0);
      expect(whole.length).toBe(ipv6.HEADER_BYTES + extensions + DATA.length);
      expect(ipv6.payloadLength(view, 0)).toBe(extensions + DATA.length);
      expect(ipv6.flowLabel(view, 0)).toBe(0x12345);
      const found = new chain.Walk();
      expect(
        chain.walk(view, ipv6.HEADER_BYTES, extensions + DATA.length, ipv6.nextHeader(view, 0), found),
      ).toBe(0);
      // The first fragment says what follows, whatever the last one said.
      expect([found.protocol, found.fragmentAt]).toEqual([PROTOCOL.UDP, -1]);
      expect(whole.subarray(found.at)).toEqual(DATA);
      reassembler.free(slot);
    }
  });

  test("may be as large as a packet can be, and not larger", () => {
    for (const over of [0, 1]) {
      const { reassembler, add4, add6, packet } = setUp();
      const most4 = 65_535 - ipv4.HEADER_BYTES;
      const data = pattern(65_536);
      const cut = 65_496;
      add4({ offset: 0, more: true, data: data.subarray(0, cut) });
      const slot4 = add4({ offset: cut, more: false, data: data.subarray(cut, most4 + over) });
      add6({ offset: 0, more: true, data: data.subarray(0, cut) });
      const slot6 = add6({ offset: cut, more: false, data: data.subarray(cut, 65_535 + over) });
      if (over === 1) {
        expect([slot4, slot6]).toEqual([-1, -1]);
        expect(reassembler.statistics()).toMatchObject({ tooLong: 2, pending: 2 });
      } else {
        expect(packet(slot4).subarray(ipv4.HEADER_BYTES)).toEqual(data.subarray(0, most4));
        expect(packet(slot6).subarray(ipv6.HEADER_BYTES)).toEqual(data.subarray(0, 65_535));
      }
    }
  });

  test("whose first header makes it too long in the end is dropped", () => {
    const { reassembler, add4 } = setUp();
    const data = pattern(65_515);
    expect(add4({ offset: 64, more: false, data: data.subarray(64) })).toBe(-1);
    expect(add4({ offset: 0, more: true, data: data.subarray(0, 64), headers: new Uint8Array(4) })).toBe(-1);
    expect(reassembler.statistics()).toMatchObject({ unsound: 1, completed: 0, freeSlots: 64 });
  });

  test("is told from others by source, identification, protocol and zone", () => {
    const { reassembler, add4, add6, packet } = setUp();
    add4(part(0, 16));
    for (const other of [{ source: "192.0.2.2" }, { identification: 2 }, { protocol: PROTOCOL.TCP }])
      expect(add4({ ...part(16, 40, false), ...other })).toBe(-1);
    expect(add4(part(16, 40, false), 2)).toBe(-1);
    expect(add6(part(16, 40, false))).toBe(-1);
    expect(reassembler.statistics()).toMatchObject({ pending: 6, accepted: 6 });
    expect(packet(add4(part(16, 40, false))).subarray(ipv4.HEADER_BYTES)).toEqual(DATA);
  });

  test("of one zone takes nothing from another, whatever their hashes", () => {
    for (let identification = 1; identification <= 16; identification++) {
      const { add4 } = setUp({ slots: 2 });
      const add = (piece: Piece, zone: number): number => add4({ ...piece, identification }, zone);
      expect([add(A, 1), add(C, 1), add(B, 2), add(A, 2), add(C, 2) >= 0, add(B, 1) >= 0]).toEqual([
        ...[-1, -1, -1, -1],
        ...[true, true],
      ]);
    }
  });

  test("carries a mark of congestion on, and is dropped where marks contradict", () => {
    const marks: readonly (readonly [first: number, second: number, whole: number])[] = [
      [2, 3, 3],
      [3, 1, 3],
      [2, 2, 2],
      [0, 0, 0],
      [0, 3, -1],
      [3, 0, -1],
    ];
    for (const [first, second, whole] of marks) {
      const { reassembler, add4, add6, packet } = setUp();
      for (const add of [add4, add6]) {
        add({ ...part(0, 16), ecn: first });
        const slot = add({ ...part(16, 40, false), ecn: second });
        expect(slot >= 0).toBe(whole >= 0);
        if (slot < 0) continue;
        const view = viewOf(packet(slot));
        expect(add === add4 ? ipv4.ecn(view, 0) : ipv6.ecn(view, 0)).toBe(whole);
        if (add === add4) expect(ipv4.check(view, 0, view.byteLength)).toBe(0);
      }
      expect(reassembler.statistics().unsound).toBe(whole < 0 ? 2 : 0);
      expectBalanced(reassembler.statistics());
    }
  });
});

describe("fragments that disagree", () => {
  test("spoil their datagram until its time is over, even if all of it comes again", () => {
    const overlaps = [part(8, 24), part(0, 8), part(8, 16), part(0, 24), part(0, 40, false), part(16, 32)];
    for (const bad of overlaps) {
      const { reassembler, add4, time, expired } = setUp();
      add4(A);
      add4(B);
      const atomic = bad.offset === 0 && !bad.more;
      const slot = add4(bad);
      if (atomic) {
        // Not a fragment at all, so it disturbs nothing.
        expect(slot).toBeGreaterThanOrEqual(0);
        expect(add4(C)).toBeGreaterThanOrEqual(0);
        continue;
      }
      expect(slot).toBe(-1);
      for (const piece of [A, B, C, C, B, A]) expect(add4(piece)).toBe(-1);
      expect(reassembler.statistics()).toMatchObject({
        abandoned: 1,
        overlapping: 1,
        late: 6,
        abandonedSlots: 1,
      });
      expectBalanced(reassembler.statistics());
      time.advance(REASSEMBLY_TIMEOUT4_MS);
      expect(expired).toEqual([]);
      expect(reassembler.statistics()).toMatchObject({ freeSlots: 64, timedOut: 0, abandonedSlots: 0 });
      for (const piece of [A, B]) expect(add4(piece)).toBe(-1);
      expect(add4(C)).toBeGreaterThanOrEqual(0);
    }
  });

  test("about the end spoil it too", () => {
    const tail = part(24, 40, false);
    const cases: readonly (readonly [Piece, Piece])[] = [
      [tail, part(24, 32, false)],
      [tail, { offset: 40, more: true, data: pattern(8) }],
      [tail, { offset: 32, more: false, data: pattern(16) }],
      [tail, part(24, 40)],
      [part(24, 40), part(16, 24, false)],
      [part(24, 40), tail],
    ];
    for (const [first, second] of cases) {
      const { reassembler, add6 } = setUp();
      expect([add6(first), add6(second), add6(A), add6(B)]).toEqual([-1, -1, -1, -1]);
      expect(reassembler.statistics()).toMatchObject({ conflicting: 1, abandoned: 1, late: 2 });
      expectBalanced(reassembler.statistics());
    }
  });

  test("overlap by their range, even if all bytes are the same", () => {
    const zeros = (from: number, to: number): Piece => ({
      offset: from,
      more: true,
      data: new Uint8Array(to - from),
    });
    for (const bad of [zeros(0, 24), zeros(0, 8), zeros(8, 16), zeros(8, 24)]) {
      const { reassembler, add4 } = setUp();
      add4(zeros(0, 16));
      expect(add4(bad)).toBe(-1);
      expect(reassembler.statistics()).toMatchObject({ overlapping: 1, duplicates: 0 });
    }
  });

  test("are not those that come twice, unless their bytes differ", () => {
    const { reassembler, add4, packet } = setUp();
    for (const piece of [A, A, C, C, A]) expect(add4(piece)).toBe(-1);
    expect(packet(add4(B)).subarray(ipv4.HEADER_BYTES)).toEqual(DATA);
    expect(reassembler.statistics()).toMatchObject({ duplicates: 3, abandoned: 0 });
    const { reassembler: other, add4: addOther } = setUp();
    addOther(A);
    const changed = A.data.slice();
    changed[15]! ^= 1;
    addOther({ ...A, data: changed });
    expect(other.statistics()).toMatchObject({ duplicates: 0, overlapping: 1, abandonedSlots: 1 });
  });
});

describe("a fragment", () => {
  test("that cannot be is dropped alone, and IPv6 senders hear of it", () => {
    const { reassembler, add4, add6, problems } = setUp({ slotBytes: MIN_REASSEMBLY_SLOT_BYTES });
    const misaligned = { offset: 0, more: true, data: pattern(9) };
    const empty = { offset: 8, more: false, data: pattern(0) };
    const death = { offset: 65_528, more: false, data: pattern(100) };
    const large = { offset: 1496, more: false, data: pattern(100) };
    for (const piece of [misaligned, empty, death, large])
      expect([add4(piece), add6(piece, 7)]).toEqual([-1, -1]);
    expect(reassembler.statistics()).toMatchObject({
      misaligned: 2,
      empty: 2,
      tooLong: 2,
      tooLarge: 2,
      started: 0,
    });
    const length = fragmentAtOf() + chain.FRAGMENT_BYTES;
    expect(problems).toEqual([
      { code: PROBLEM.erroneousHeader, pointer: ipv6.PAYLOAD_LENGTH, length: length + 9, zone: 7 },
      {
        code: PROBLEM.erroneousHeader,
        pointer: fragmentAtOf() + chain.FRAGMENT_OFFSET,
        length: length + 100,
        zone: 7,
      },
    ]);
  });

  test("with headers that don't fit it is malformed", () => {
    const { reassembler } = setUp();
    const view = piece4(A);
    for (const length of [0, 19]) expect(reassembler.add4(view, 0, length, 1)).toBe(-1);
    ipv4.setHeaderBytes(view, 0, 16);
    expect(reassembler.add4(view, 0, view.byteLength, 1)).toBe(-1);
    ipv4.setHeaderBytes(view, 0, 60);
    expect(reassembler.add4(view, 0, view.byteLength, 1)).toBe(-1);
    const six = piece6(A);
    for (const [length, fragmentAt] of [
      [47, 40],
      [64, 39],
      [64, 57],
    ] as const)
      expect(reassembler.add6(six, 0, length, fragmentAt, 1)).toBe(-1);
    expect(reassembler.statistics()).toMatchObject({ malformed: 7, fragments: 7 });
    expectBalanced(reassembler.statistics());
  });

  test("of IPv6 that comes first must hold all headers (RFC 7112)", () => {
    const { reassembler, add6, problems } = setUp();
    const options = Uint8Array.of(PROTOCOL.UDP, 0, 1, 4, 0, 0, 0, 0);
    const first = (data: Uint8Array, protocol: number, identification: number): number =>
      add6({ offset: 0, more: true, data, protocol, identification });
    first(pattern(16), PROTOCOL.TCP, 1);
    first(options, PROTOCOL.DESTINATION_OPTIONS, 2);
    first(Uint8Array.of(PROTOCOL.UDP, 5, 1, 4, 0, 0, 0, 0), PROTOCOL.DESTINATION_OPTIONS, 3);
    expect(reassembler.statistics()).toMatchObject({ incompleteChain: 3, started: 0 });
    expect(problems[0]).toMatchObject({ code: PROBLEM.incompleteChain, pointer: 0 });
    first(pattern(24), PROTOCOL.TCP, 1);
    first(Uint8Array.of(...options, ...pattern(8)), PROTOCOL.DESTINATION_OPTIONS, 2);
    first(pattern(8), PROTOCOL.ICMPV6, 3);
    first(pattern(8), 253, 4);
    expect(reassembler.statistics()).toMatchObject({ incompleteChain: 3, started: 4 });
  });

  test("that is atomic is a packet at once and disturbs none (RFC 6946)", () => {
    const { reassembler, add6, packet } = setUp();
    add6(A);
    const data = pattern(33, 9);
    const slot = add6({ offset: 0, more: false, data });
    expect(packet(slot).subarray(ipv6.HEADER_BYTES)).toEqual(data);
    expect(ipv6.check(viewOf(packet(slot)), 0, ipv6.HEADER_BYTES + 33)).toBe(0);
    add6(B);
    const whole = add6(C);
    expect(packet(whole).subarray(ipv6.HEADER_BYTES)).toEqual(DATA);
    expect(packet(slot).subarray(ipv6.HEADER_BYTES)).toEqual(data);
    expect(reassembler.statistics()).toMatchObject({ atomic: 1, completed: 1, handedOut: 2 });
    expectBalanced(reassembler.statistics());
  });
});

describe("time", () => {
  test("runs out, and the first fragment is shown as it came", () => {
    const { reassembler, time, expired, add4, add6 } = setUp();
    add4(A, 3);
    add6({ ...A, headers: HOP_BY_HOP, firstHeader: PROTOCOL.HOP_BY_HOP }, 4);
    add4({ ...B, identification: 2 });
    time.advance(REASSEMBLY_TIMEOUT4_MS - 1);
    expect(reassembler.statistics().pending).toBe(3);
    time.advance(1);
    expect(reassembler.statistics()).toMatchObject({ pending: 1, timedOut: 2, freeSlots: 63 });
    time.advance(REASSEMBLY_TIMEOUT6_MS - REASSEMBLY_TIMEOUT4_MS);
    expect(reassembler.statistics()).toMatchObject({ pending: 0, timedOut: 3, freeSlots: 64 });
    const six = piece6({ ...A, headers: HOP_BY_HOP, firstHeader: PROTOCOL.HOP_BY_HOP });
    expect(expired).toEqual([
      { bytes: new Uint8Array(piece4(A).buffer), zone: 3, atMs: REASSEMBLY_TIMEOUT4_MS },
      { bytes: new Uint8Array(six.buffer), zone: 4, atMs: REASSEMBLY_TIMEOUT6_MS },
    ]);
    expect(time.idle).toBe(true);
    // It was forgotten: the rest makes nothing.
    expect([add4(B), add4(C)]).toEqual([-1, -1]);
    expectBalanced(reassembler.statistics());
  });

  test("counts from the first fragment, for each datagram by itself", () => {
    const { reassembler, time, add4, add6 } = setUp();
    add6(A);
    time.advance(20_000);
    add4(A);
    time.advance(20_000);
    add4(B);
    time.advance(10_000);
    expect(reassembler.statistics()).toMatchObject({ timedOut: 1, pending: 1 });
    time.advance(10_000);
    expect(reassembler.statistics()).toMatchObject({ timedOut: 2, pending: 0 });
    expect(time.idle).toBe(true);
  });

  test("ends with close", () => {
    const { reassembler, time, expired, add4 } = setUp();
    add4(A);
    const slot = add4({ offset: 0, more: false, data: DATA });
    reassembler.close();
    reassembler.close();
    expect(time.idle).toBe(true);
    expect(expired).toEqual([]);
    reassembler.free(slot);
    expect(reassembler.statistics()).toMatchObject({ freeSlots: 64, pending: 0 });
    expectBalanced(reassembler.statistics());
  });
});

describe("slots", () => {
  test("of one source are few: its oldest datagram goes, others stay", () => {
    const { reassembler, add4 } = setUp({ slots: 8, perSource: 3 });
    add4({ ...A, source: "192.0.2.7" });
    for (let identification = 1; identification <= 4; identification++) add4({ ...A, identification });
    expect(reassembler.statistics()).toMatchObject({ sourceEvicted: 1, pending: 4, evicted: 0 });
    for (const [identification, whole] of [
      [2, true],
      [1, false],
    ] as const) {
      add4({ ...B, identification });
      expect(add4({ ...C, identification }) >= 0).toBe(whole);
    }
    add4({ ...B, source: "192.0.2.7" });
    expect(add4({ ...C, source: "192.0.2.7" })).toBeGreaterThanOrEqual(0);
    expectBalanced(reassembler.statistics());
  });

  test("are taken from the oldest datagram of either family, never from who holds a packet", () => {
    const { reassembler, time, add4, add6 } = setUp({ slots: 4 });
    const held = add4({ offset: 0, more: false, data: DATA });
    add6(A);
    time.advance(1);
    add4(A);
    time.advance(1);
    add6({ ...A, identification: 2 });
    add4({ ...A, identification: 3 });
    expect(reassembler.statistics()).toMatchObject({ evicted: 1, pending: 3 });
    expect([add6(B), add6(C)]).toEqual([-1, -1]);
    expect(reassembler.statistics()).toMatchObject({ evicted: 2, pending: 3 });
    const rest = [1, 2, 3].map((identification) =>
      add4({ offset: 0, more: false, data: DATA, identification }),
    );
    expect(new Set([held, ...rest]).size).toBe(4);
    expect(rest.every((slot) => slot >= 0)).toBe(true);
    expect(add4(A)).toBe(-1);
    expect(add4({ offset: 0, more: false, data: DATA })).toBe(-1);
    expect(reassembler.statistics()).toMatchObject({ noRoom: 2, handedOut: 4, freeSlots: 0 });
    expectBalanced(reassembler.statistics());
    for (const slot of [held, ...rest]) reassembler.free(slot);
    expect(reassembler.statistics().freeSlots).toBe(4);
  });

  test("remember nothing of the datagram before", () => {
    const { reassembler, time, add4, packet } = setUp({ slots: 1 });
    const eights = [0, 8, 16, 24, 32].map((from) => part(from, from + 8, from < 32));
    const whole = (pieces: readonly Piece[], identification: number): void => {
      const slots = pieces.map((piece) => add4({ ...piece, identification }));
      expect(slots.map((slot) => slot >= 0)).toEqual(pieces.map((_, i) => i === pieces.length - 1));
      expect(packet(slots.at(-1)!).subarray(ipv4.HEADER_BYTES)).toEqual(DATA);
      reassembler.free(slots.at(-1)!);
    };
    whole(eights, 1);
    whole([A, A, B, B, C], 2);
    for (const piece of [A, C]) add4({ ...piece, identification: 3 });
    time.advance(REASSEMBLY_TIMEOUT4_MS);
    whole(eights, 4);
    for (const piece of [A, B]) add4({ ...piece, identification: 5 });
    whole(eights.toReversed(), 6);
    expect(reassembler.statistics()).toMatchObject({
      completed: 4,
      timedOut: 1,
      evicted: 0,
      sourceEvicted: 1,
    });
    expect(reassembler.statistics()).toMatchObject({ duplicates: 2, abandoned: 0 });
  });

  test("are freed once, by who has them", () => {
    const { reassembler, add4 } = setUp({ slots: 2 });
    add4(A);
    for (const slot of [-1, 0, 1, 2, 0.5, NaN]) {
      expect(() => reassembler.free(slot)).toThrow(RangeError);
      expect(() => reassembler.slotAt(slot)).toThrow(RangeError);
      expect(() => reassembler.slotLength(slot)).toThrow(RangeError);
    }
    add4(B);
    const slot = add4(C);
    reassembler.free(slot);
    expect(() => reassembler.free(slot)).toThrow("is not handed out");
  });

  test("take packets of several chunks", () => {
    const { reassembler, packet } = setUp({ slots: 1, slotBytes: MIN_REASSEMBLY_SLOT_BYTES });
    const bytes = pattern(4096);
    const chunks = [
      [3, 10],
      [100, 0],
      [1000, 900],
      [2048, 77],
    ] as const;
    const packetOf = (list: readonly (readonly [number, number])[]) => ({
      view: viewOf(bytes),
      chunks: list.length,
      chunkAt: (i: number) => list[i]![0],
      chunkLength: (i: number) => list[i]![1],
    });
    const all = Uint8Array.from(chunks.flatMap(([at, length]) => [...bytes.subarray(at, at + length)]));
    for (const skip of [0, 1, 10, 14, 910, all.length]) {
      const slot = reassembler.gather(packetOf(chunks), skip);
      expect(packet(slot)).toEqual(all.subarray(skip));
      expect(reassembler.gather(packetOf(chunks), skip)).toBe(-1);
      reassembler.free(slot);
    }
    expect(() => reassembler.gather(packetOf(chunks), -1)).toThrow("skipBytes");
    expect(() => reassembler.gather(packetOf(chunks), all.length + 1)).toThrow("skipBytes");
    const large = [[0, 4096]] as const;
    expect(reassembler.gather(packetOf(large), 2047)).toBe(-1);
    expect(reassembler.gather(packetOf(large), 2048)).toBe(0);
    expect(reassembler.statistics()).toMatchObject({ gathered: 7, gatherFailed: 7, handedOut: 1 });
  });

  test("have options in range", () => {
    const bad: readonly (readonly [ReassemblyOptions, string])[] = [
      [{ slots: 0 }, "slots"],
      [{ slots: 5000 }, "slots"],
      [{ slotBytes: HEADER_ROOM_BYTES }, "slotBytes"],
      [{ slotBytes: 1e6 }, "slotBytes"],
      [{ perSource: 0 }, "perSource"],
      [{ perSource: 65 }, "perSource"],
      [{ timeout4Ms: 0 }, "timeout4Ms"],
      [{ timeout6Ms: NaN }, "timeout6Ms"],
    ];
    for (const [options, name] of bad) expect(() => setUp(options)).toThrow(name);
  });
});

describe("junk", () => {
  test("throws nothing and keeps no slot beyond its time", () => {
    const junk = fc.record({
      bytes: fc.uint8Array({ minLength: 64, maxLength: 120 }),
      length: fc.integer({ min: 0, max: 120 }),
      six: fc.boolean(),
      fragmentAt: fc.integer({ min: 0, max: 120 }),
      wait: fc.integer({ min: 0, max: 10_000 }),
      /** Makes it look more like a fragment, so that some get far. */
      tame: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(junk, { maxLength: 80 }), (list) => {
        const { reassembler, time } = setUp({ slots: 4, perSource: 2 });
        for (const { bytes, length, six, fragmentAt, wait, tame } of list) {
          const view = viewOf(bytes);
          const size = Math.min(length, bytes.length);
          if (tame) {
            // One of few addresses, identifications and offsets.
            bytes.fill(1, 0, 40);
            ipv4.setHeaderBytes(view, 0, 20);
            view.setUint16(ipv4.FLAGS_OFFSET, (bytes[60]! & 1 ? ipv4.MORE_FRAGMENTS : 0) | (bytes[61]! & 7));
            bytes[42] = 0;
            bytes[43] = bytes[62]! & 0x3f;
            bytes.fill(2, 44, 48);
          }
          const slot = six
            ? reassembler.add6(view, 0, size, tame ? 40 : fragmentAt, 1)
            : reassembler.add4(view, 0, size, 1);
          expectBalanced(reassembler.statistics());
          if (slot >= 0) {
            expect(reassembler.slotAt(slot) + reassembler.slotLength(slot)).toBeLessThanOrEqual(
              reassembler.bytes.length,
            );
            reassembler.free(slot);
          }
          time.advance(wait);
        }
        time.advance(REASSEMBLY_TIMEOUT6_MS);
        expect(reassembler.statistics()).toMatchObject({ freeSlots: 4, pending: 0, handedOut: 0 });
        expect(time.idle).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
