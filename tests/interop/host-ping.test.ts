/**
 * Echoes between a host of ours and the kernel, of every size and in both directions: asked for by ping and fping, and by
 * the host itself.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { IpAddress } from "../../index.ts";
import { HostBed, type HostBedOptions } from "../support/host-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { fping, need, ping } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const FAMILIES = [4, 6] as const;
/** ICMP's own header, behind that of IP. */
const ECHO_BYTES = 8;
const HEADER_BYTES = { 4: 20 + ECHO_BYTES, 6: 40 + ECHO_BYTES } as const;
const ETHERNET_BYTES = 14;
const LARGEST = 65_507;
const FLOOD = 2000;

const BEDS: readonly (readonly [string, HostBedOptions])[] = [
  ["offloads on, native", { lab: { offloads: true }, attach: { xdp: "native" } }],
  ["offloads off, generic", { lab: { offloads: false }, attach: { xdp: "generic" } }],
  ["two queues, MTU 9000", { lab: { mtu: 9000, queues: 2 } }],
  [
    "small chunks, MTU 1280, offloads off",
    { lab: { mtu: 1280, offloads: false }, attach: { chunkBytes: 2048 } },
  ],
  ["a VLAN", { vlan: 7 }],
];

const runs = !skipWithoutLab(Lab.unavailable()) && !need("ping", "fping", "tcpdump", "tshark");

describe.skipIf(!runs).each(BEDS)("%s", (_name, options) => {
  let bed: HostBed;
  beforeAll(async () => void (bed = await HostBed.start(options)), LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  /** Around everything that a packet may be cut at. */
  const sizes = (family: 4 | 6): number[] => {
    const { mtu } = bed.eth;
    const header = HEADER_BYTES[family];
    const room = bed.device.umem.roomBytes - ETHERNET_BYTES - header;
    const twoFragments = 2 * (mtu - header);
    const edges = [mtu - header, room, room + bed.device.umem.roomBytes, twoFragments, 8192, 32_768];
    const around = edges.flatMap((size) => [size - 1, size, size + 1]);
    return [...new Set([0, 1, 2, 7, 8, 9, 56, 63, ...around, LARGEST - 1, LARGEST])].filter(
      (size) => size <= LARGEST,
    );
  };

  test.each(FAMILIES)(
    "ping of IPv%d: every size around the edges, 0 to 65507",
    async (family) => {
      const before = bed.host.statistics();
      // One by one: after a first answer ping waits for the last no longer than its interval.
      for (const size of sizes(family)) {
        const { received, text } = await ping(bed.here, bed.address(family), {
          count: 1,
          size,
          more: ["-p", "a55a0f"],
        });
        if (received !== 1 || text.includes("wrong data")) throw new Error(`${size} bytes: ${text}`);
      }
      const icmp = family === 4 ? "icmp4" : "icmp6";
      const after = bed.host.statistics();
      expect(after[icmp].echoRequests - before[icmp].echoRequests).toBe(sizes(family).length);
      expect(after[icmp].echoRefused).toBe(0);
      expect(after.ip.malformed).toBe(0);
    },
    LIMIT_MS,
  );

  test.each(FAMILIES)("ping of IPv%d with what it can say besides", async (family) => {
    const to = bed.address(family);
    const largest = bed.eth.mtu - HEADER_BYTES[family];
    const ways: readonly (readonly string[])[] = [
      ["-M", "do", "-s", String(largest)],
      ["-M", "dont", "-s", String(2 * largest)],
      ["-t", "1"],
      ["-Q", "0xb8"],
      ["-p", "ff"],
      ["-p", "00"],
      ["-e", "0"],
      ...(family === 4 ? [["-R"], ["-T", "tsonly"], ["-T", "tsandaddr"]] : [["-F", "0x12345"]]),
    ];
    for (const more of ways) {
      const { received, text } = await ping(bed.here, to, { count: 1, more });
      if (received !== 1) throw new Error(`ping ${more.join(" ")}: ${text}`);
      expect(text).not.toContain("wrong data");
      expect(text).toContain("ttl=64");
    }
  });

  test.each(FAMILIES)("a flood of IPv%d: every request has its answer", async (family) => {
    const icmp = family === 4 ? "icmp4" : "icmp6";
    const before = bed.host.statistics()[icmp].echoRequests;
    const more = ["-f", "-q", "-l", "32"];
    const { sent, received } = await ping(bed.here, bed.address(family), { count: FLOOD, interval: 0, more });
    expect(sent).toBe(FLOOD);
    await until("all requests", () => bed.host.statistics()[icmp].echoRequests - before === FLOOD);
    // ping does not wait for the last ones; that each went back is what the end of the bed counts.
    expect(received).toBeGreaterThan(FLOOD - 64);
    expect(bed.host.statistics()[icmp].echoRefused).toBe(0);
  });

  test("fping of both families at once", async () => {
    const addresses = FAMILIES.map((family) => bed.address(family));
    for (const size of [64, 4000]) {
      for (const [, { sent, received }] of await fping(bed.here, addresses, { size }))
        expect(received).toBe(sent);
    }
  });

  test("a broadcast is answered by nobody, all nodes of the link by us, from an address of that link", async () => {
    const broadcast = bed.address(4).replace(/\d+$/, "255");
    expect(await ping(bed.here, broadcast, { count: 2, wait: 0.1, more: ["-b"] })).toMatchObject({
      sent: 2,
      received: 0,
    });
    const zone = `%${bed.lab.a.name}`;
    const all = await ping(bed.here, `ff02::1${zone}`, { count: 1, more: ["-L"] });
    const [, from] = /bytes from (fe80::[0-9a-f:]+)%/.exec(all.text) ?? [];
    expect(all.received).toBe(1);
    expect(await ping(bed.here, `${from}${zone}`, { count: 1 })).toMatchObject({ received: 1 });
    expect(bed.eth.addresses.find(IpAddress.parse(from!))).toMatchObject({ origin: "link-local" });
    // Fragments to a group, and the answer from one station.
    const more = ["-L", "-M", "dont"];
    expect(await ping(bed.here, `ff02::1${zone}`, { count: 1, size: 20_000, more })).toMatchObject({
      received: 1,
    });
  });

  test.each(FAMILIES)("the host pings the kernel over IPv%d, every size", async (family) => {
    const { a } = bed.lab;
    const answers = new Map<number, number>();
    const wanted = sizes(family);
    using echo = bed.host.ping(family === 4 ? a.ipv4 : a.ipv6, {
      onReply: ({ packet, at, lengthBytes, sequence }) => {
        const size = wanted[sequence]!;
        const good = packet.bytes
          .subarray(at, at + lengthBytes)
          .every((byte, i) => byte === pattern(size, i));
        if (good) answers.set(sequence, lengthBytes);
      },
    });
    for (const [sequence, size] of wanted.entries()) {
      const data = Uint8Array.from({ length: size }, (_, i) => pattern(size, i));
      expect(echo.send(sequence, data)).toBe(0);
      await until(`an answer of ${size} bytes`, () => answers.get(sequence) === size);
    }
  });
});

const pattern = (size: number, i: number): number => (size * 7 + i * 31) & 0xff;
