/**
 * UDP between a host of ours and the kernel: socat and sockperf as clients and servers, every size that there is, and the
 * errors that each hears of the other.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Datagram, SoftError } from "../../index.ts";
import { HostBed, type HostBedOptions } from "../support/host-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { need, runTool } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const FAMILIES = [4, 6] as const;
const ECHO_PORT = 7777;
const SOCKPERF_PORT = 11_111;
const KERNEL_PORT = 7007;
const HEADERS = { 4: 28, 6: 48 } as const;
/** The most that socat reads at once, and the most that a datagram over IPv4 holds. */
const LARGEST = 65_507;
/** sockperf's message begins with a number of 8 bytes and 16 bits of flags, the lowest of which says that a client sent it. */
const FLAGS_AT = 8;
const FROM_CLIENT = 1;

const BEDS: readonly (readonly [string, HostBedOptions])[] = [
  ["offloads on, native", { lab: { offloads: true }, attach: { xdp: "native" } }],
  ["offloads off, generic", { lab: { offloads: false }, attach: { xdp: "generic" } }],
  ["two queues, MTU 9000, generic", { lab: { mtu: 9000, queues: 2 }, attach: { xdp: "generic" } }],
];

const runs = !skipWithoutLab(Lab.unavailable()) && !need("socat", "sockperf", "ss", "tcpdump", "tshark");

const data = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => (size + i * 31 + (i >> 8)) & 0xff);

describe.skipIf(!runs).each(BEDS)("%s", (_name, options) => {
  let bed: HostBed;
  let folder: string;
  let last: { readonly ttl: number; readonly trafficClass: number; readonly unicast: boolean } | undefined;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "millrace-udp-"));
    bed = await HostBed.start({ ...options, dataPorts: [ECHO_PORT, SOCKPERF_PORT, KERNEL_PORT] });
    bed.host.udp(ECHO_PORT, (datagram) => {
      const { ttl, trafficClass, unicast } = datagram;
      last = { ttl, trafficClass, unicast };
      datagram.reply();
    });
    bed.host.udp(SOCKPERF_PORT, (datagram) => {
      const flagsAt = datagram.at + FLAGS_AT;
      datagram.view.setUint16(flagsAt, datagram.view.getUint16(flagsAt) & ~FROM_CLIENT);
      datagram.reply();
    });
  }, LIMIT_MS);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    expect(await bed?.end()).toBeGreaterThan(0);
  }, LIMIT_MS);

  const sizes = (family: 4 | 6): number[] => {
    const whole = bed.eth.mtu - HEADERS[family];
    const room = bed.device.umem.roomBytes - HEADERS[family] - 14;
    const around = [whole, room, 2 * whole].flatMap((size) => [size - 1, size, size + 1]);
    return [...new Set([1, 8, 100, ...around, 20_000, 60_000, LARGEST])].filter((size) => size <= LARGEST);
  };
  const to = (family: 4 | 6, port: number): string =>
    family === 4 ? `UDP4:${bed.address(4)}:${port}` : `UDP6:[${bed.address(6)}]:${port}`;

  /** What comes back to socat for one datagram, as far as `bytes` are wanted. */
  const echoed = async (where: string, payload: Uint8Array, bytes = payload.length): Promise<Uint8Array> => {
    const [from, into] = [join(folder, "out"), join(folder, "in")];
    writeFileSync(from, payload);
    rmSync(into, { force: true });
    const words = ["socat", "-b", `${LARGEST}`, `OPEN:${from},rdonly,ignoreeof!!CREATE:${into}`, where];
    const client = bed.lab.spawn("a", words);
    await until(
      `${bytes} bytes from ${where}`,
      () => (statSync(into, { throwIfNoEntry: false })?.size ?? 0) >= bytes,
    );
    client.kill("SIGKILL");
    await client.exited;
    return readFileSync(into);
  };

  test.each(FAMILIES)(
    "socat sends every size, and each comes back as it was (IPv%d)",
    async (family) => {
      for (const size of sizes(family)) {
        const payload = data(size);
        expect(Buffer.compare(await echoed(to(family, ECHO_PORT), payload), payload)).toBe(0);
      }
      const { udp, reassembly } = bed.host.statistics();
      expect(udp).toMatchObject({ badChecksum: 0, malformed: 0, withoutChecksum: 0 });
      expect(reassembly).toMatchObject({ pending: 0, handedOut: 0 });
    },
    LIMIT_MS,
  );

  test("what the kernel says of a datagram reaches the handler: TTL and class; none, a broadcast's", async () => {
    await echoed(`${to(4, ECHO_PORT)},ttl=3,tos=0x2c`, data(10));
    expect(last).toEqual({ ttl: 3, trafficClass: 0x2c, unicast: true });
    await echoed(`${to(6, ECHO_PORT)},ipv6-unicast-hops=9,ipv6-tclass=0x2c`, data(10));
    expect(last).toEqual({ ttl: 9, trafficClass: 0x2c, unicast: true });
    const broadcast = bed.address(4).replace(/\d+$/, "255");
    await echoed(`UDP4-DATAGRAM:${broadcast}:${ECHO_PORT},broadcast`, data(10));
    expect(last).toMatchObject({ unicast: false });
    await echoed(
      `UDP4-DATAGRAM:255.255.255.255:${ECHO_PORT},broadcast,so-bindtodevice=${bed.lab.a.name}`,
      data(10),
    );
    expect(last).toMatchObject({ unicast: false });
  });

  test("datagrams without a checksum, and many cut from one by the kernel", async () => {
    const [SOL_SOCKET, SO_NO_CHECK] = [1, 11];
    expect(await echoed(`${to(4, ECHO_PORT)},setsockopt=${SOL_SOCKET}:${SO_NO_CHECK}:i1`, data(100))).toEqual(
      Buffer.from(data(100)),
    );
    const [SOL_UDP, UDP_SEGMENT] = [17, 103];
    const before = bed.host.statistics().udp.received;
    const many = data(5000);
    expect(await echoed(`${to(4, ECHO_PORT)},setsockopt=${SOL_UDP}:${UDP_SEGMENT}:i500`, many)).toEqual(
      Buffer.from(many),
    );
    // A generic program sees what the kernel has not cut yet: whoever gets it cannot know where (net/core/dev.c,
    // netif_receive_generic_xdp). A native one makes the peer cut it first (drivers/net/veth.c, veth_fix_features).
    const uncut = options.attach?.xdp === "generic" && options.lab?.offloads !== false;
    expect(bed.host.statistics().udp.received - before).toBe(uncut ? 1 : 10);
  });

  test.each(FAMILIES)(
    "the host sends to the kernel's socat, every size, and hears it back (IPv%d)",
    async (family) => {
      const words = [
        "socat",
        "-b",
        `${LARGEST}`,
        `UDP${family}-LISTEN:${KERNEL_PORT},reuseaddr,fork`,
        "PIPE",
      ];
      const server = bed.lab.spawn("a", words);
      await until("socat", () => bed.kernel("ss", `-Huln${family}`, `sport = ${KERNEL_PORT}`) !== "");
      const came: Uint8Array[] = [];
      const { a } = bed.lab;
      const remote = { address: family === 4 ? a.ipv4 : a.ipv6, port: KERNEL_PORT };
      using socket = bed.host.udp({ remote }, (datagram: Datagram) => void came.push(datagram.copy()));
      for (const size of sizes(family)) {
        came.length = 0;
        expect(socket.send(socket.remote!, data(size))).toBe(true);
        await until(`${size} bytes back`, () => came.length > 0);
        expect(Buffer.compare(came[0]!, data(size))).toBe(0);
      }
      server.kill("SIGKILL");
      await server.exited;
    },
    LIMIT_MS,
  );

  test.each(FAMILIES)("nobody on a port: each side hears it from the other (IPv%d)", async (family) => {
    const refused = await runTool(bed.here, ["sh", "-c", `echo text | socat -t 2 - ${to(family, 9)}`]);
    expect({ code: refused.code, said: refused.stderr }).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain("Connection refused");
    const { a } = bed.lab;
    const address = family === 4 ? a.ipv4 : a.ipv6;
    const errors: SoftError[] = [];
    const onError = (error: SoftError): void => void errors.push(error);
    using free = bed.host.udp({ onError }, () => undefined);
    using bound = bed.host.udp({ onError, remote: { address, port: 9 } }, () => undefined);
    for (const socket of [free, bound]) {
      errors.length = 0;
      expect(socket.send({ address, port: 9 }, data(32))).toBe(true);
      await until("the error", () => errors.length > 0);
      expect(errors).toMatchObject([
        { kind: "port-unreachable", localPort: socket.localPort, remotePort: 9 },
      ]);
      expect(errors[0]!.reporter!.toString()).toBe(address);
      expect(socket.statistics().softErrors).toBe(1);
    }
  });

  test(
    "sockperf: ping-pong of small and large messages, answers under load, and a stream as fast as it goes",
    async () => {
      const sockperf = async (...words: readonly string[]): Promise<string> => {
        const place = ["-i", bed.address(4), "-p", `${SOCKPERF_PORT}`, "-t", "1"];
        const { stdout, code } = await runTool(bed.here, ["sockperf", ...words, ...place]);
        expect(code).toBe(0);
        return stdout;
      };
      const before = bed.host.statistics().udp.received;
      const [small, large, loaded, stream] = await Promise.all([
        sockperf("ping-pong", "-m", "14", "--mps", "2000"),
        sockperf("ping-pong", "-m", "20000", "--mps", "100", "--data-integrity"),
        sockperf("under-load", "-m", "256", "--mps", "2000", "--reply-every", "1"),
        sockperf("throughput", "-m", "64", "--mps", "10000"),
      ]);
      const totals = [small, large, loaded].map((said) => {
        const [, sent, received] =
          /\[Total Run\].*SentMessages=(\d+); ReceivedMessages=(\d+)/.exec(said) ?? [];
        expect(said).not.toMatch(/# (duplicated|out-of-order) messages = [1-9]/);
        expect(Number(received)).toBeGreaterThan(0);
        return { sent: Number(sent), received: Number(received) };
      });
      // Who waits for each answer loses none; the other ends while the last are on their way.
      for (const { sent, received } of totals.slice(0, 2)) expect(received).toBeGreaterThanOrEqual(sent - 1);
      for (const said of [small, large]) expect(said).not.toMatch(/# dropped messages = [1-9]/);
      const [, streamed] = /Total of (\d+) messages sent/.exec(stream) ?? [];
      const sent = totals.reduce((sum, total) => sum + total.sent, Number(streamed));
      const { rxDropped } = bed.device.statistics();
      await until("all that was sent", () => bed.host.statistics().udp.received - before + rxDropped >= sent);
    },
    LIMIT_MS,
  );
});
