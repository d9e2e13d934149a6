/**
 * Who has which address: a host of ours asked by arping, ndisc6 and the kernel, and both of them after the same address.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type HostEvent, IpAddress } from "../../index.ts";
import { HostBed, type HostBedOptions } from "../support/host-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { arping, ndisc6, need, ping, runTool } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const FAMILIES = [4, 6] as const;
const PREFIX_BITS = { 4: 24, 6: 64 } as const;
/** Not the kernel's, and nobody's else. */
const STRANGER_MAC = "02:00:00:00:00:77";
/** A detection in a fraction of the usual time. */
const QUICK = { delayMs: 20, probes: 3, minGapMs: 50, maxGapMs: 60, waitMs: 50 };
/** Neighbours that are doubted at once. */
const DOUBTING = { baseReachableMs: 100, delayMs: 50, retransMs: 50 };

const BEDS: readonly (readonly [string, HostBedOptions])[] = [
  ["offloads on, native", { lab: { offloads: true }, attach: { xdp: "native" } }],
  ["offloads off, generic", { lab: { offloads: false }, attach: { xdp: "generic" } }],
];

const runs = !skipWithoutLab(Lab.unavailable()) && !need("ping", "arping", "ndisc6", "tcpdump", "tshark");

describe.skipIf(!runs).each(BEDS)("%s", (_name, options) => {
  let bed: HostBed;
  const events: HostEvent[] = [];
  beforeAll(async () => {
    bed = await HostBed.start({
      ...options,
      join: { dadTimes4: QUICK, dadTimes6: QUICK, neighbours: DOUBTING },
    });
    bed.host.on((event) => void events.push(event));
  }, LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  /** The kernel's entry for an address, in the words of `ip neigh`; empty where it has none. */
  const kernelEntry = (address: string): string =>
    bed.kernel("ip", "neigh", "show", "to", address, "dev", bed.lab.a.name);
  const kernelSysctl = (path: string, value: number): string =>
    bed.kernel("sh", "-c", `echo ${value} > /proc/sys/net/${path.replace("IF", bed.lab.a.name)}`);
  const spare = (family: 4 | 6, host: number): string => bed.address(family).replace(/2$/, String(host));
  const changes = (address: string): string[] =>
    events.flatMap((event) =>
      event.kind === "address" && event.address.address.toString() === address ? [event.change] : [],
    );

  test("arping: asked of all, of one, by a probe, for an address that is not ours", async () => {
    const { a, b } = bed.lab;
    expect(await arping(bed.here, a.name, b.ipv4)).toMatchObject({
      sent: 2,
      received: 2,
      macs: [b.mac, b.mac],
    });
    const ways = [["-t", b.mac], ["-0"], ["-S", "10.77.0.9"], ["-d"], ["-b"]];
    for (const more of ways) {
      const words = ["arping", "-c", "1", "-W", "0.1", "-i", a.name, ...more, b.ipv4];
      const { code, stdout } = await runTool(bed.here, words);
      // A request from everybody's address has no sender who could be answered.
      const answered = more[0] !== "-b";
      expect({ more, code, answered: stdout.includes(b.mac) }).toEqual({
        more,
        code: answered ? 0 : 1,
        answered,
      });
    }
    expect(await arping(bed.here, a.name, spare(4, 9), 1)).toMatchObject({ received: 0 });
    expect(bed.protocols().arp.malformed).toBe(1);
  });

  test("ndisc6: our addresses of both scopes; rdisc6 finds no router", async () => {
    const { a, b } = bed.lab;
    const linkLocal = [...bed.eth.addresses.values()].find(({ address }) => address.linkLocal)!.address;
    expect(await ndisc6(bed.here, a.name, b.ipv6)).toBe(b.mac);
    expect(await ndisc6(bed.here, a.name, linkLocal.toString())).toBe(b.mac);
    const absent = await runTool(bed.here, ["ndisc6", "-r", "1", "-w", "100", spare(6, 9), a.name]);
    expect(absent.stdout).not.toContain("link-layer");
    const { noMember } = bed.host.statistics().ip;
    const asked = await runTool(bed.here, ["rdisc6", "-r", "1", "-w", "100", a.name]);
    expect(asked.code).not.toBe(0);
    // Its question is to all routers, and we are none.
    expect(bed.host.statistics().ip.noMember).toBeGreaterThan(noMember);
  });

  /** The kernel's entry for us, from its making to the answer that confirms it. */
  const doubted = async (family: 4 | 6): Promise<void> => {
    const to = bed.address(family);
    const folder = `ipv${family}/neigh/IF`;
    kernelSysctl(`${folder}/base_reachable_time_ms`, 100);
    // In seconds, and no less.
    kernelSysctl(`${folder}/delay_first_probe_time`, 1);
    bed.kernel("ip", "neigh", "flush", "to", to, "dev", bed.lab.a.name);
    expect(await ping(bed.here, to, { count: 1 })).toMatchObject({ received: 1 });
    expect(kernelEntry(to)).toContain(bed.lab.b.mac);
    // What was used a moment ago is asked for by itself, without another packet (neigh_timer_handler).
    await until("the kernel's doubt", () => kernelEntry(to).includes("DELAY"));
    const asked = () =>
      family === 4 ? bed.protocols().arp.repliesSent : bed.protocols().ndp.advertisementsSent;
    const before = asked();
    await until("the kernel's question", () => asked() > before);
    await until("the kernel's belief", () => /REACHABLE|STALE/.test(kernelEntry(to)));
    expect(kernelEntry(to)).toContain(bed.lab.b.mac);
  };

  test(
    "the kernel finds us, doubts us, asks and believes again",
    async () => void (await Promise.all(FAMILIES.map(doubted))),
    LIMIT_MS,
  );

  test.each(FAMILIES)("we find the kernel, doubt it, ask and believe again (IPv%d)", async (family) => {
    const { a } = bed.lab;
    const text = family === 4 ? a.ipv4 : a.ipv6;
    const kernel = IpAddress.parse(text);
    const neighbours = bed.eth.neighboursOf(family);
    neighbours.forget(kernel);
    events.length = 0;
    let answers = 0;
    using echo = bed.host.ping(kernel, { onReply: () => void (answers += 1) });
    expect(echo.send(0, new Uint8Array(56))).toBe(0);
    await until("an answer", () => answers === 1);
    const entry = neighbours.resolve(kernel)!;
    await until("our doubt", () => entry.state === "stale");
    // The answer to an echo proves that we reach it, so one that nobody answers is needed to have to ask.
    using socket = bed.host.udp({}, () => undefined);
    expect(socket.send({ address: kernel, port: 9 }, new Uint8Array(8))).toBe(true);
    expect(entry.state).toBe("delay");
    const course = ["incomplete", "reachable", "stale", "delay", "probe", "reachable"];
    const states = (): string[] =>
      events.flatMap((event) =>
        event.kind === "neighbour" && event.address.equals(kernel) ? event.state : [],
      );
    await until("our belief", () => states().length >= course.length);
    // It may be in doubt again by now.
    expect(states().slice(0, course.length)).toEqual(course);
    expect(entry.mac!.toString()).toBe(a.mac);
  });

  test.each(FAMILIES)("nobody there: what waits is given up and counted (IPv%d)", async (family) => {
    const address = spare(family, 99);
    let dropped: string | undefined;
    const notice = { sent: () => undefined, dropped: (reason: string) => void (dropped = reason) };
    using socket = bed.host.udp({}, () => undefined);
    const before = bed.host.statistics().ip.unresolved;
    expect(socket.send({ address, port: 9 }, new Uint8Array(8), { notice })).toBe(true);
    await until("the end of the search", () => dropped !== undefined);
    expect(dropped).toBe("unreachable");
    expect(bed.host.statistics().ip.unresolved).toBe(before + 1);
  });

  test.each(FAMILIES)("an announcement corrects what the kernel believes (IPv%d)", async (family) => {
    const { a, b } = bed.lab;
    const address = spare(family, 50);
    // What is announced and unknown is entered only on request (net.ipv4.conf.*.arp_accept).
    bed.kernel("ip", "neigh", "add", address, "lladdr", STRANGER_MAC, "dev", a.name, "nud", "stale");
    bed.eth.addresses.add(IpAddress.parse(address), PREFIX_BITS[family], { dad: true });
    await until("the address to be ours", () => changes(address).includes("preferred"));
    bed.eth.addresses.announce(IpAddress.parse(address));
    await until("the kernel to hear", () => kernelEntry(address).includes(b.mac));
    expect(await ping(bed.here, address, { count: 1 })).toMatchObject({ received: 1 });
    bed.eth.addresses.remove(IpAddress.parse(address));
    expect(await ping(bed.here, address, { count: 1, wait: 0.1 })).toMatchObject({ received: 0 });
  });

  test("a gratuitous ARP of another moves it in our cache; of one that we don't know it is no news", async () => {
    const { a } = bed.lab;
    const mover = spare(4, 60);
    const words = [
      "arping",
      "-c",
      "1",
      "-W",
      "0.05",
      "-i",
      a.name,
      "-U",
      "-p",
      "-s",
      STRANGER_MAC,
      "-S",
      mover,
      mover,
    ];
    const cache = bed.eth.neighbours4;
    const { w0, w1, w2, w3 } = IpAddress.parse(mover);
    await runTool(bed.here, words);
    expect(cache.lookup(w0, w1, w2, w3)).toBeUndefined();
    bed.kernel("ip", "addr", "add", `${mover}/32`, "dev", a.name);
    using echo = bed.host.ping(mover, { onReply: () => undefined });
    echo.send(0, new Uint8Array(8));
    const entry = await until("the neighbour", () => {
      const found = cache.lookup(w0, w1, w2, w3);
      return found?.usable === true && found;
    });
    expect(entry.mac!.toString()).toBe(a.mac);
    await runTool(bed.here, words);
    await until("the move", () => entry.mac?.toString() === STRANGER_MAC);
    bed.kernel("ip", "addr", "del", `${mover}/32`, "dev", a.name);
  });

  test("another claims our IPv4 address: said once aloud, and it stays ours", async () => {
    const { a, b } = bed.lab;
    const { announcementsSent } = bed.protocols().arp;
    events.length = 0;
    // The kernel too would say so, but only to those who ask.
    const claim = [
      "arping",
      "-c",
      "3",
      "-W",
      "0.05",
      "-i",
      a.name,
      "-U",
      "-p",
      "-s",
      STRANGER_MAC,
      "-S",
      b.ipv4,
      b.ipv4,
    ];
    await runTool(bed.here, claim);
    await until(
      "three conflicts",
      () => changes(b.ipv4).filter((change) => change === "conflict").length === 3,
    );
    expect(bed.protocols().arp.announcementsSent).toBe(announcementsSent + 1);
    expect(kernelEntry(b.ipv4)).toContain(b.mac);
    expect(await ping(bed.here, b.ipv4, { count: 1 })).toMatchObject({ received: 1 });
  });

  test("the kernel uses an address of ours: a conflict as well, and the kernel hears whose it is", async () => {
    const { a } = bed.lab;
    const address = spare(4, 75);
    bed.eth.addresses.add(IpAddress.parse(address), PREFIX_BITS[4], { dad: false });
    const { announcementsSent } = bed.protocols().arp;
    bed.kernel("ip", "addr", "add", `${address}/32`, "dev", a.name);
    // To ask for anybody it says who it is (net.ipv4.conf.*.arp_announce).
    await ping(bed.here, spare(4, 98), { count: 1, wait: 0.1, more: ["-I", address] });
    await until("the conflict", () => changes(address).includes("conflict"));
    expect(bed.protocols().arp.announcementsSent).toBe(announcementsSent + 1);
    bed.kernel("ip", "addr", "del", `${address}/32`, "dev", a.name);
    expect(await arping(bed.here, a.name, address, 1)).toMatchObject({ received: 1, macs: [bed.lab.b.mac] });
    bed.eth.addresses.remove(IpAddress.parse(address));
  });

  test("one that is not promised to anybody is given up at the second conflict (RFC 5227 section 2.4 b)", async () => {
    const { a } = bed.lab;
    const address = spare(4, 70);
    bed.eth.addresses.add(IpAddress.parse(address), PREFIX_BITS[4], { dad: false, keep: false });
    const claim = [
      "arping",
      "-c",
      "2",
      "-W",
      "0.05",
      "-i",
      a.name,
      "-U",
      "-p",
      "-s",
      STRANGER_MAC,
      "-S",
      address,
      address,
    ];
    await runTool(bed.here, claim);
    await until("the end of it", () => changes(address).includes("duplicated"));
    expect(await arping(bed.here, a.name, address, 1)).toMatchObject({ received: 0 });
    bed.eth.addresses.remove(IpAddress.parse(address));
  });

  test.each(FAMILIES)("an address that the kernel has is not taken (IPv%d)", async (family) => {
    const { a } = bed.lab;
    const theirs = family === 4 ? a.ipv4 : a.ipv6;
    const address = IpAddress.parse(theirs);
    bed.eth.addresses.add(address, PREFIX_BITS[family], { dad: true });
    expect(bed.eth.addresses.find(address)?.state).toBe("tentative");
    await until("the kernel's objection", () => changes(theirs).includes("duplicated"));
    expect(changes(theirs)).not.toContain("preferred");
    bed.eth.addresses.remove(address);
    let answers = 0;
    using echo = bed.host.ping(address, { onReply: () => void (answers += 1) });
    echo.send(0, new Uint8Array(8));
    await until("an answer of the kernel's", () => answers === 1);
  });

  test("the kernel does not take an IPv6 address that is ours", async () => {
    const { a } = bed.lab;
    const address = spare(6, 80);
    bed.eth.addresses.add(IpAddress.parse(address), PREFIX_BITS[6], { dad: false });
    kernelSysctl("ipv6/conf/IF/accept_dad", 1);
    kernelSysctl("ipv6/conf/IF/dad_transmits", 1);
    bed.kernel("ip", "addr", "add", `${address}/64`, "dev", a.name);
    await until("the kernel to give it up", () =>
      bed
        .kernel("ip", "-6", "addr", "show", "dev", a.name)
        .includes(`${address}/64 scope global dadfailed tentative`),
    );
    bed.kernel("ip", "addr", "del", `${address}/64`, "dev", a.name);
    expect(bed.eth.addresses.find(IpAddress.parse(address))?.state).toBe("preferred");
    expect(await ping(bed.here, address, { count: 1 })).toMatchObject({ received: 1 });
  });

  test("the kernel and we begin with one IPv6 address at once: not both get it", async () => {
    const { a } = bed.lab;
    const address = spare(6, 90);
    bed.kernel("ip", "addr", "add", `${address}/64`, "dev", a.name);
    bed.eth.addresses.add(IpAddress.parse(address), PREFIX_BITS[6], { dad: true });
    const shown = (): string => bed.kernel("ip", "-6", "addr", "show", "dev", a.name, "to", address);
    const state = (): string | undefined => bed.eth.addresses.find(IpAddress.parse(address))?.state;
    await until("our verdict", () => state() !== "tentative");
    await until(
      "the kernel's verdict",
      () => shown().includes("dadfailed") || !shown().includes("tentative"),
    );
    const kernelHasIt = !shown().includes("dadfailed");
    expect(kernelHasIt && state() === "preferred").toBe(false);
    bed.kernel("ip", "addr", "del", `${address}/64`, "dev", a.name);
    bed.eth.addresses.remove(IpAddress.parse(address));
  });
});
