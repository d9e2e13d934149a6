/** Messages about addresses, routes and neighbours: what the kernel sent is read as `ip` printed it, and no bytes make the readers throw. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  encodeAddress,
  parseAddress,
  RTM_ADDRESS,
  type AddressRecord,
} from "../../ffi/net/address-message.ts";
import { parseMessages, type Message } from "../../ffi/net/message.ts";
import {
  ADDRESSES4,
  ADDRESSES6,
  NEIGHBOURS4,
  NEIGHBOURS6,
  ROUTES4,
  ROUTES6,
  type Kind,
} from "../../ffi/net/mirror-kind.ts";
import { MirrorTable } from "../../ffi/net/mirror-table.ts";
import {
  encodeNeighbour,
  encodeNeighbourUse,
  parseNeighbour,
  RTM_NEIGHBOUR,
  type NeighbourRecord,
} from "../../ffi/net/neighbour-message.ts";
import type { HopRecord } from "../../ffi/net/route-hops.ts";
import {
  encodeRoute,
  parseRoute,
  RT_TABLE,
  RTM_ROUTE,
  type RouteRecord,
} from "../../ffi/net/route-message.ts";
import { NLM_F_NEW } from "../../ffi/net/rtnetlink.ts";
import type { SystemChange } from "../../ffi/net/system-change.ts";
import { ADDRESS6, MULTIPATH, NEIGHBOUR, VIA } from "../support/table-captures.ts";

const message = (type: number, body: Uint8Array, flags = 0): Message => ({
  type,
  flags,
  sequence: 0,
  body: new DataView(body.buffer, body.byteOffset, body.byteLength),
});

const only = (datagram: Uint8Array): Message => {
  const messages = parseMessages(datagram);
  expect(messages).toHaveLength(1);
  return messages[0]!;
};

const v4 = (...bytes: number[]): Uint8Array => Uint8Array.of(...bytes);
const v6 = (first: number, second: number, last: number): Uint8Array => {
  const bytes = new Uint8Array(16);
  bytes.set([first, second]);
  bytes[15] = last;
  return bytes;
};

describe("captured messages", () => {
  test("RTM_NEWADDR: `inet6 fd00:5::1/64 scope global tentative`, index 102", () => {
    expect(parseAddress(only(ADDRESS6))).toEqual({
      interface: 102,
      address: Uint8Array.fromHex("fd000005000000000000000000000001"),
      peer: undefined,
      prefixLength: 64,
      tentative: true,
      deprecated: false,
      temporary: false,
    });
  });

  test("RTM_NEWROUTE: `10.1.0.0/16 metric 7 mtu 1400 src 10.77.0.2 nexthop via 10.77.0.11 weight 3 nexthop via 10.77.0.12`", () => {
    const hop = { interface: 102, dead: false, encapsulated: false };
    expect(parseRoute(only(MULTIPATH))).toEqual({
      table: RT_TABLE.MAIN,
      destination: v4(10, 1, 0, 0),
      prefixLength: 16,
      type: "unicast",
      metric: 7,
      source: v4(10, 77, 0, 2),
      mtu: 1400,
      hops: [
        { ...hop, gateway: v4(10, 77, 0, 11), weight: 3 },
        { ...hop, gateway: v4(10, 77, 0, 12), weight: 1 },
      ],
    });
  });

  test("RTM_NEWROUTE: `10.8.0.0/16 via inet6 fe80::1 dev vb`", () => {
    expect(parseRoute(only(VIA))).toMatchObject({
      destination: v4(10, 8, 0, 0),
      hops: [{ gateway: v6(0xfe, 0x80, 1), interface: 102, weight: 1 }],
    });
  });

  test("RTM_NEWNEIGH: `fe80::9 dev vb lladdr 02:00:00:00:00:09 router NOARP`", () => {
    expect(parseNeighbour(only(NEIGHBOUR))).toEqual({
      interface: 102,
      address: v6(0xfe, 0x80, 9),
      mac: v4(2, 0, 0, 0, 0, 9),
      state: "permanent",
      router: true,
    });
  });
});

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const index = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const size = fc.constantFrom(4, 16);

const addressRecord: fc.Arbitrary<AddressRecord> = size.chain((length) =>
  fc.record({
    interface: index,
    address: bytes(length),
    peer: fc.option(bytes(length), { nil: undefined }),
    prefixLength: fc.integer({ min: 0, max: length * 8 }),
    tentative: fc.boolean(),
    deprecated: fc.boolean(),
    temporary: length === 16 ? fc.boolean() : fc.constant(false),
  }),
);

const neighbourRecord: fc.Arbitrary<NeighbourRecord> = size.chain((length) =>
  fc.oneof(
    fc.record({
      interface: index,
      address: bytes(length),
      mac: fc.option(bytes(6), { nil: undefined }),
      state: fc.constantFrom("reachable", "stale", "delay", "probe", "permanent", "none"),
      router: fc.boolean(),
    }),
    fc.record({
      interface: index,
      address: bytes(length),
      mac: fc.constant(undefined),
      state: fc.constantFrom("incomplete", "failed"),
      router: fc.boolean(),
    }),
  ),
);

const hopRecord = (length: number): fc.Arbitrary<HopRecord> =>
  fc.record({
    gateway: fc.option(length === 4 ? fc.oneof(bytes(4), bytes(16)) : bytes(16), { nil: undefined }),
    interface: index,
    weight: fc.integer({ min: 1, max: 256 }),
    dead: fc.boolean(),
    encapsulated: fc.constant(false),
  });

const routeRecord: fc.Arbitrary<RouteRecord> = size.chain((length) =>
  fc
    .record({
      table: fc.constantFrom(...Object.values(RT_TABLE)),
      destination: bytes(length),
      prefixLength: fc.integer({ min: 1, max: length * 8 }),
      type: fc.constantFrom(
        "unicast",
        "local",
        "broadcast",
        "multicast",
        "blackhole",
        "unreachable",
        "prohibit",
      ),
      metric: fc.nat({ max: 2 ** 32 - 1 }),
      source: fc.option(bytes(length), { nil: undefined }),
      mtu: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
      hops: fc.array(hopRecord(length), { maxLength: 5 }),
    })
    .map((route) =>
      ["blackhole", "unreachable", "prohibit"].includes(route.type) ? { ...route, hops: [] } : route,
    ),
);

/** A peer that is the address itself is none. */
const peerless = (record: AddressRecord): AddressRecord =>
  record.peer?.toHex() === record.address.toHex() ? { ...record, peer: undefined } : record;

describe("round trips", () => {
  test("addresses", () => {
    fc.assert(
      fc.property(addressRecord.map(peerless), (record) => {
        expect(parseAddress(message(RTM_ADDRESS.NEW, encodeAddress(record)))).toEqual(record);
      }),
    );
  });

  test("neighbours", () => {
    fc.assert(
      fc.property(neighbourRecord, (record) => {
        expect(parseNeighbour(message(RTM_NEIGHBOUR.DEL, encodeNeighbour(record)))).toEqual(record);
      }),
    );
  });

  test("routes", () => {
    fc.assert(
      fc.property(routeRecord, (record) => {
        expect(parseRoute(message(RTM_ROUTE.NEW, encodeRoute(record)))).toEqual(record);
      }),
    );
  });
});

describe("what is not to be told", () => {
  const READERS = [parseAddress, parseRoute, parseNeighbour] as const;
  const TYPES = [...Object.values(RTM_ADDRESS), ...Object.values(RTM_ROUTE), ...Object.values(RTM_NEIGHBOUR)];

  test("bytes cut short or changed anywhere never throw, and never give an address of a wrong length", () => {
    const whole = fc.oneof(
      addressRecord.map((record) => ({ type: RTM_ADDRESS.NEW, body: encodeAddress(record) })),
      routeRecord.map((record) => ({ type: RTM_ROUTE.NEW, body: encodeRoute(record) })),
      neighbourRecord.map((record) => ({ type: RTM_NEIGHBOUR.NEW, body: encodeNeighbour(record) })),
    );
    fc.assert(
      fc.property(
        whole,
        fc.nat(),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        (given, cut, changes) => {
          const body = given.body.slice(0, cut % (given.body.length + 1));
          for (const [at, value] of changes) if (body.length > 0) body[at % body.length] = value;
          for (const read of READERS) {
            const record = read(message(given.type, body));
            if (typeof record === "string") continue;
            const address = "destination" in record ? record.destination : record.address;
            expect([4, 16]).toContain(address.length);
            if ("prefixLength" in record) expect(record.prefixLength).toBeLessThanOrEqual(address.length * 8);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("any bytes under any type never throw", () => {
    fc.assert(
      fc.property(fc.constantFrom(...TYPES), fc.uint8Array({ maxLength: 120 }), (type, body) => {
        for (const read of READERS) read(message(type, body));
      }),
      { numRuns: 2000 },
    );
  });

  test("every cut of a captured message is malformed or foreign, or lacks attributes at its end", () => {
    for (const capture of [ADDRESS6, MULTIPATH, VIA, NEIGHBOUR]) {
      const { type, body } = only(capture);
      for (let length = 0; length < body.byteLength; length++) {
        const part = new Uint8Array(body.buffer, body.byteOffset, length).slice();
        for (const read of READERS) expect(() => read(message(type, part))).not.toThrow();
      }
    }
  });

  const ROUTE: RouteRecord = {
    table: RT_TABLE.MAIN,
    destination: v4(10, 1, 0, 0),
    prefixLength: 16,
    type: "unicast",
    metric: 0,
    source: undefined,
    mtu: undefined,
    hops: [{ gateway: undefined, interface: 1, weight: 1, dead: false, encapsulated: false }],
  };
  /** struct rtmsg: source prefix length, type of service, type, and the flags' second byte (RTM_F_CLONED). */
  test.each([
    ["a source prefix", 2, 8],
    ["a type of service", 3, 0x10],
    ["a type that is none", 7, 99],
    ["a cached route", 9, 2],
    ["another family", 0, 28],
  ])("routes with %s are foreign", (_, at, value) => {
    const body = encodeRoute(ROUTE);
    body[at] = value;
    expect(parseRoute(message(RTM_ROUTE.NEW, body))).toBe("foreign");
  });

  test("routes of other tables are foreign, also of those above 255", () => {
    for (const table of [0, 100, 252, 256, 1254])
      expect(parseRoute(message(RTM_ROUTE.NEW, encodeRoute({ ...ROUTE, table })))).toBe("foreign");
  });

  test("an entry for a group, and a proxy's, are foreign; a mac of another length is none", () => {
    const record: NeighbourRecord = {
      interface: 1,
      address: v4(224, 0, 0, 1),
      mac: v4(1, 0, 0x5e, 0, 0, 1),
      state: "permanent",
      router: false,
    };
    const group = encodeNeighbour(record);
    group[8] = 0x40;
    group[11] = 5;
    expect(parseNeighbour(message(RTM_NEIGHBOUR.NEW, group))).toBe("foreign");
    group[11] = 1;
    expect(parseNeighbour(message(RTM_NEIGHBOUR.NEW, group))).toEqual(record);
    group[10] = 8;
    expect(parseNeighbour(message(RTM_NEIGHBOUR.NEW, group))).toBe("foreign");
    const long = encodeNeighbour({ ...record, mac: new Uint8Array(20) });
    expect(parseNeighbour(message(RTM_NEIGHBOUR.NEW, long))).toMatchObject({ mac: undefined });
  });

  test("lengths that lie are malformed: a prefix, a peer, a source, a gateway, a hop of many", () => {
    const address: AddressRecord = {
      interface: 1,
      address: v4(10, 0, 0, 1),
      peer: v4(10, 0, 0, 2),
      prefixLength: 32,
      tentative: false,
      deprecated: false,
      temporary: false,
    };
    const read = (record: AddressRecord): unknown =>
      parseAddress(message(RTM_ADDRESS.NEW, encodeAddress(record)));
    expect(read(address)).toEqual(address);
    expect(read({ ...address, prefixLength: 33 })).toBe("malformed");
    expect(read({ ...address, peer: v6(0xfd, 0, 1) })).toBe("malformed");
    const readRoute = (record: RouteRecord): unknown =>
      parseRoute(message(RTM_ROUTE.NEW, encodeRoute(record)));
    expect(readRoute({ ...ROUTE, prefixLength: 33 })).toBe("malformed");
    expect(readRoute({ ...ROUTE, source: v6(0xfd, 0, 1) })).toBe("malformed");
    const { body } = only(MULTIPATH);
    const datagram = new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice();
    // The second hop stands at the end: 16 bytes, their number first.
    const second = datagram.length - 16;
    expect(datagram[second]).toBe(16);
    for (const length of [0, 7, 17, 20, 255]) {
      datagram[second] = length;
      expect(parseRoute(message(RTM_ROUTE.NEW, datagram))).toBe("malformed");
    }
  });

  test("addresses of other lengths are refused before they reach the kernel", () => {
    expect(() => encodeNeighbourUse(1, new Uint8Array(6))).toThrow(TypeError);
    expect(parseNeighbour(message(RTM_NEIGHBOUR.NEW, encodeNeighbourUse(7, v4(10, 0, 0, 1))))).toMatchObject({
      interface: 7,
      state: "none",
    });
  });
});

describe("a table", () => {
  const drain = (table: { take(): SystemChange | undefined }): SystemChange[] => {
    const changes: SystemChange[] = [];
    for (let change = table.take(); change !== undefined; change = table.take()) changes.push(change);
    return changes;
  };
  const dump = <R>(
    table: MirrorTable<R>,
    entries: readonly Message[],
    crossing: readonly Message[] = [],
  ): void => {
    table.begin();
    for (const entry of entries) table.collect(entry);
    for (const event of crossing) table.hear(event);
    for (const _ of table.finish());
  };
  const neighbour = (last: number, state: NeighbourRecord["state"], mac = 1): Uint8Array =>
    encodeNeighbour({
      interface: 1,
      address: v4(10, 0, 0, last),
      mac: v4(2, 0, 0, 0, 0, mac),
      state,
      router: false,
    });
  const isNew = (body: Uint8Array): Message => message(RTM_NEIGHBOUR.NEW, body);
  const isGone = (body: Uint8Array): Message => message(RTM_NEIGHBOUR.DEL, body);

  test("tells differences only, and of several between two questions the last", () => {
    const table = new MirrorTable(NEIGHBOURS4, 10);
    dump(table, [isNew(neighbour(1, "stale"))]);
    expect(drain(table)).toMatchObject([{ present: true, state: "stale" }]);
    table.hear(isNew(neighbour(1, "stale")));
    expect(drain(table)).toEqual([]);
    table.hear(isNew(neighbour(1, "probe")));
    table.hear(isNew(neighbour(1, "reachable", 2)));
    expect(drain(table)).toMatchObject([{ state: "reachable", mac: v4(2, 0, 0, 0, 0, 2) }]);
    table.hear(isGone(neighbour(1, "reachable")));
    table.hear(isNew(neighbour(1, "reachable", 2)));
    expect(drain(table)).toEqual([]);
    table.hear(isGone(neighbour(1, "reachable")));
    table.hear(isGone(neighbour(7, "reachable")));
    expect(drain(table)).toMatchObject([{ present: false, state: "reachable" }]);
  });

  test("a calm dump is the whole truth", () => {
    const table = new MirrorTable(NEIGHBOURS4, 10);
    dump(table, [isNew(neighbour(1, "stale")), isNew(neighbour(2, "stale"))]);
    drain(table);
    table.doubt();
    dump(table, [isNew(neighbour(2, "reachable")), isNew(neighbour(3, "stale"))]);
    expect(drain(table)).toMatchObject([
      { present: true, address: v4(10, 0, 0, 2), state: "reachable" },
      { present: true, address: v4(10, 0, 0, 3) },
      { present: false, address: v4(10, 0, 0, 1) },
    ]);
    expect(table.stale).toBe(false);
  });

  test("a notification during a dump counts more than the dump, which is repeated; twice missing is gone", () => {
    const table = new MirrorTable(NEIGHBOURS4, 10);
    dump(table, [isNew(neighbour(1, "stale")), isNew(neighbour(2, "stale")), isNew(neighbour(3, "stale"))]);
    drain(table);
    table.doubt();
    dump(
      table,
      [isNew(neighbour(1, "stale"))],
      [isGone(neighbour(1, "stale")), isNew(neighbour(4, "stale"))],
    );
    expect(drain(table)).toMatchObject([
      { present: false, address: v4(10, 0, 0, 1) },
      { present: true, address: v4(10, 0, 0, 4) },
    ]);
    expect(table.stale).toBe(true);
    dump(table, [isNew(neighbour(2, "stale")), isNew(neighbour(4, "stale"))], [isNew(neighbour(5, "stale"))]);
    expect(drain(table)).toMatchObject([
      { present: true, address: v4(10, 0, 0, 5) },
      { present: false, address: v4(10, 0, 0, 3) },
    ]);
  });

  test("what two dumps lacked stays if a notification said so meanwhile", () => {
    const table = new MirrorTable(NEIGHBOURS4, 10);
    dump(table, [isNew(neighbour(1, "stale"))]);
    table.doubt();
    dump(table, [], [isNew(neighbour(2, "stale"))]);
    dump(table, [isNew(neighbour(2, "stale"))], [isNew(neighbour(1, "reachable"))]);
    expect(drain(table)).toMatchObject([{ state: "reachable" }, { state: "stale" }]);
  });

  test("a table that never calms is not asked for ever", () => {
    const table = new MirrorTable(NEIGHBOURS4, 10);
    let dumps = 0;
    for (; table.stale && dumps < 100; dumps++) dump(table, [], [isNew(neighbour(1, "stale", dumps))]);
    expect(dumps).toBe(8);
    expect(table.statistics()).toMatchObject({ dumps: 8, crossed: 8 });
  });

  test("an unfitting notification makes it ask: an unknown route gone beside a known one", () => {
    const route = (last: number): Message =>
      message(
        RTM_ROUTE.DEL,
        encodeRoute({
          table: RT_TABLE.MAIN,
          destination: v4(10, 1, 0, 0),
          prefixLength: 16,
          type: "unicast",
          metric: 0,
          source: undefined,
          mtu: undefined,
          hops: [{ gateway: v4(10, 0, 0, last), interface: 1, weight: 1, dead: false, encapsulated: false }],
        }),
      );
    const table = new MirrorTable(ROUTES4, 10);
    dump(table, [{ ...route(1), type: RTM_ROUTE.NEW }]);
    table.hear(route(1));
    expect(table.stale).toBe(false);
    table.hear({ ...route(1), type: RTM_ROUTE.NEW, flags: NLM_F_NEW.CREATE });
    table.hear(route(2));
    expect(table.stale).toBe(true);
  });

  test("hears only what is its own", () => {
    const kinds = [ADDRESSES4, ADDRESSES6, ROUTES4, ROUTES6, NEIGHBOURS4, NEIGHBOURS6] as readonly Pick<
      Kind<unknown>,
      "types" | "family" | "query"
    >[];
    for (const capture of [ADDRESS6, MULTIPATH, VIA, NEIGHBOUR]) {
      const owners = kinds.filter((kind) => new MirrorTable(kind as Kind<unknown>, 1).owns(only(capture)));
      expect(owners).toHaveLength(1);
    }
    expect(new MirrorTable(ROUTES4, 1).owns(message(RTM_ROUTE.NEW, new Uint8Array(0)))).toBe(false);
  });
});
