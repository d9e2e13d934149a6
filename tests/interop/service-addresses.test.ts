/**
 * Service addresses on a bridge of the kernel's: asked for by arping, ndisc6 and the kernel, pinged and talked to while the
 * interface that answers loses its carrier, leaves, and comes back.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BesideBed } from "../support/beside-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { arping, ndisc6, need, ping, runTool } from "../support/peer-tools.ts";
import { BRIDGE, ServiceBed, STATION } from "../support/service-bed.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const PORT = 7007;
const FAMILIES = [4, 6] as const;
const SERVICE = { 4: "10.9.9.9", 6: "fd09::9" } as const;
const UNKNOWN = { 4: "10.9.9.8", 6: "fd09::8" } as const;

const runs =
  !skipWithoutLab(Lab.unavailable()) &&
  !need("ping", "arping", "ndisc6", "socat", "bridge", "tcpdump", "tshark");

describe.skipIf(!runs)("one interface answers for all", () => {
  let bed: ServiceBed;
  beforeAll(async () => {
    bed = await ServiceBed.start({ dataPorts: [PORT] });
    for (const family of FAMILIES) bed.host.addService(SERVICE[family], { dad: false });
    bed.host.udp(PORT, (datagram) => void datagram.reply());
  }, LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  test("arping and ndisc6 hear one answer a question, from the same interface each", async () => {
    const { mac } = bed.speaker(SERVICE[4]);
    expect(await arping(bed.here, BRIDGE, SERVICE[4], 3)).toMatchObject({
      sent: 3,
      received: 3,
      macs: [mac, mac, mac],
    });
    expect(await ndisc6(bed.here, BRIDGE, SERVICE[6])).toBe(mac);
    const all = await runTool(bed.here, ["ndisc6", "-m", "-r", "1", "-w", "200", SERVICE[6], BRIDGE]);
    expect(all.stdout.match(/link-layer address: /g)).toHaveLength(1);
    // The interfaces' own addresses are answered for by their own.
    for (const [i, leg] of bed.legs.entries())
      expect(await arping(bed.here, BRIDGE, `10.77.0.${i + 11}`, 1)).toMatchObject({ macs: [leg.mac] });
  });

  test.each([
    [4, 0],
    [4, 1],
    [6, 0],
    [6, 1],
  ] as const)(
    "the kernel's entry moves without a question (IPv%d, accepts the unknown: %d)",
    async (family, accept) => {
      const service = SERVICE[family];
      if (family === 4) bed.sysctl("ipv4/conf/IF/arp_accept", accept);
      else bed.sysctl("ipv6/conf/IF/accept_untracked_na", accept);
      const unknown = bed.host.addService(UNKNOWN[family], { dad: false });
      try {
        // An entry that is a moment old is protected from all but announcements (arp.c: locktime).
        expect(await ping(bed.here, service, { count: 1 })).toMatchObject({ received: 1 });
        bed.kernel("ip", "neigh", "flush", "to", UNKNOWN[family], "dev", BRIDGE);
        const active = bed.speaker(service);
        expect(bed.neighbour(service)).toContain(active.mac);
        const asked = questions(bed, family);
        await bed.carrier(active, false);
        await until("the entry to move", () => bed.neighbour(service).includes(bed.other(active).mac));
        expect(questions(bed, family)).toBe(asked);
        expect(unknown.carriers().find(({ announces }) => announces)?.name).toBe(bed.other(active).on.name);
        const learned = (): boolean => bed.neighbour(UNKNOWN[family]).includes(bed.other(active).mac);
        // Linux takes untracked advertisements to all nodes for no reason to make an entry unless it forwards.
        if (family === 4 && accept === 1) await until("the unknown one to be known", learned);
        else expect(learned()).toBe(false);
        expect(await ping(bed.here, service, { count: 3 })).toMatchObject({ received: 3 });
        await bed.carrier(active, true);
        expect(bed.speaker(service)).toBe(bed.other(active));
      } finally {
        for (const leg of bed.legs) await bed.carrier(leg, true);
        bed.host.removeService(UNKNOWN[family]);
      }
    },
    LIMIT_MS,
  );

  test.each(FAMILIES)(
    "ping and a UDP program go on through losses of the carrier (IPv%d)",
    async (family) => {
      const service = SERVICE[family];
      const to = family === 4 ? `UDP4:${service}:${PORT}` : `UDP6:[${service}]:${PORT}`;
      const socat = bed.lab.spawn("a", ["socat", "-", to], { stdin: "pipe" });
      const input = socat.stdin as unknown as { write(text: string): void; flush(): void; end(): void };
      let echoed = "";
      const reading = (async () => {
        const decoder = new TextDecoder();
        for await (const part of socat.stdout) echoed += decoder.decode(part, { stream: true });
      })();
      let line = 0;
      const say = async (): Promise<void> => {
        line += 1;
        const text = `line ${line}\n`;
        input.write(text);
        input.flush();
        await until(`the echo of ${text}`, () => echoed.includes(text));
      };
      await say();
      const pinging = ping(bed.here, service, { count: 400, interval: 0.01, wait: 1 });
      for (let round = 0; round < 4; round++) {
        const active = bed.speaker(service);
        await bed.carrier(active, false);
        expect(bed.speaker(service)).toBe(bed.other(active));
        for (let i = 0; i < 5; i++) await say();
        await bed.carrier(active, true);
        for (let i = 0; i < 5; i++) await say();
      }
      const { sent, received } = await pinging;
      expect(sent).toBe(400);
      // Four cuts, each with what was on its way and up to some intervals of ping's until the host knows; it never stays away.
      expect(received).toBeGreaterThan(400 - 4 * MOST_LOST);
      input.end();
      await socat.exited;
      await reading;
      expect(echoed.trim().split("\n")).toHaveLength(line);
    },
    LIMIT_MS,
  );

  test("frames that routers send over the other interface are taken there, and answered from the address", async () => {
    const routed = { 4: "10.9.8.8", 6: "fd08::8" } as const;
    const services = FAMILIES.map((family) => bed.host.addService(routed[family], { dad: false }));
    const spare = bed.other(bed.speaker(SERVICE[4]));
    const number = bed.legs.indexOf(spare) + 11;
    bed.kernel("ip", "route", "add", `${routed[4]}/32`, "via", `10.77.0.${number}`);
    bed.kernel("ip", "route", "add", `${routed[6]}/128`, "via", `fd77::${number}`);
    const before = spare.on.link.counters.delivered;
    for (const family of FAMILIES)
      expect(await ping(bed.here, routed[family])).toMatchObject({ received: 3 });
    expect(spare.on.link.counters.delivered).toBeGreaterThanOrEqual(before + 2 * 3);
    for (const { address } of services) expect(bed.host.removeService(address)).toBe(true);
    expect(await ping(bed.here, routed[4], { count: 1, wait: 0.2 })).toMatchObject({ received: 0 });
  });

  test.each(FAMILIES)(
    "an interface leaves under way, and joins again (IPv%d)",
    async (family) => {
      const service = SERVICE[family];
      const active = bed.speaker(service);
      const pinging = ping(bed.here, service, { count: 200, interval: 0.01, wait: 1 });
      await until("some echoes", () => active.on.link.counters.delivered > 0);
      bed.host.leave(active.on);
      await until("the entry to move", () => bed.neighbour(service).includes(bed.other(active).mac));
      const { received } = await pinging;
      expect(received).toBeGreaterThan(200 - MOST_LOST);
      expect(bed.speaker(service)).toBe(bed.other(bed.rejoin(active)));
      expect(await ping(bed.here, service)).toMatchObject({ received: 3 });
    },
    LIMIT_MS,
  );

  test(
    "sockets that are bound to it send from it; others from the interface's own",
    async () => {
      for (const family of FAMILIES) {
        const service = SERVICE[family];
        const heard = `recvfrom-${family}`;
        const listen = family === 4 ? "UDP4-RECVFROM:7010" : "UDP6-RECVFROM:7010,ipv6only=1";
        for (const address of [service, undefined]) {
          const program = bed.lab.spawn("a", ["socat", "-u", listen, "SYSTEM:echo $SOCAT_PEERADDR"]);
          const said = program.stdout.text();
          using socket = bed.host.udp(address === undefined ? {} : { address }, () => undefined);
          while (program.exitCode === null) {
            socket.send({ address: STATION[family], port: 7010 }, new TextEncoder().encode(heard));
            await Bun.sleep(10);
          }
          const peer = (await said).trim();
          const own = family === 4 ? /^10\.77\.0\.1[12]$/ : /fd77:.*:001[12]\]?$/;
          if (address === undefined) expect(peer).toMatch(own);
          else
            expect(peer.replaceAll(/[[\]]/g, "")).toMatch(family === 4 ? /^10\.9\.9\.9$/ : /^fd09:.*0009$/);
        }
      }
    },
    LIMIT_MS,
  );

  test("the kernel does not find an address unique that is ours, and we none that is the kernel's", async () => {
    const theirs = "fd09::77";
    bed.kernel("ip", "addr", "add", `${theirs}/128`, "dev", BRIDGE, "nodad");
    const taken = bed.host.addService(theirs);
    await until("the kernel's objection", () =>
      taken.carriers().every(({ state }) => state === "duplicated"),
    );
    bed.host.removeService(theirs);
    bed.kernel("ip", "addr", "del", `${theirs}/128`, "dev", BRIDGE);
    const { stdout, stderr } = await runTool(bed.here, [
      "arping",
      "-d",
      "-c",
      "1",
      "-W",
      "0.2",
      "-i",
      BRIDGE,
      SERVICE[4],
    ]);
    expect(stdout + stderr).toContain(bed.speaker(SERVICE[4]).mac);
    const free = bed.host.addService("fd09::78");
    await until("it to be ours on both", () => free.carriers().every(({ state }) => state === "preferred"));
    expect(await ping(bed.here, "fd09::78")).toMatchObject({ received: 3 });
    bed.host.removeService("fd09::78");
  });
});

/** Echoes of 10 ms that a change may cost: link news reach the host every few ms, and a busy machine takes its time. */
const MOST_LOST = 40;

/** How often the station asked or said something of addresses; what our interfaces hear of each other is left out. */
const questions = (bed: ServiceBed, family: 4 | 6): number => {
  let heard = 0;
  for (const { on } of bed.legs) {
    const { arp, ndp } = on.statistics().protocols!;
    const { received, own } = family === 4 ? arp : ndp;
    heard += received - own;
  }
  return heard;
};

describe.skipIf(!runs)("each asker has one of several", () => {
  let bed: ServiceBed;
  beforeAll(async () => {
    bed = await ServiceBed.start({});
    for (const family of FAMILIES) bed.host.addService(SERVICE[family], { dad: false, answer: "spread" });
  }, LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  test(
    "arping as many: one answer each, from either; who loses his interface is told of the other",
    async () => {
      const askers = Array.from({ length: 12 }, (_, i) => `10.77.0.${100 + i}`);
      const answers = new Map<string, string>();
      for (const asker of askers) {
        const words = ["arping", "-c", "1", "-W", "0.1", "-i", BRIDGE, "-S", asker, SERVICE[4]];
        const { stdout } = await runTool(bed.here, words);
        const macs = [...stdout.matchAll(/bytes from ([0-9a-f:]{17}) /g)].map((match) => match[1]!);
        expect(macs).toHaveLength(1);
        answers.set(asker, macs[0]!);
      }
      expect(new Set(answers.values()).size).toBe(2);
      expect(bed.host.statistics().services.askers).toBe(askers.length);
    },
    LIMIT_MS,
  );

  test.each(FAMILIES)(
    "ping goes on whichever interface goes (IPv%d)",
    async (family) => {
      const service = SERVICE[family];
      const pinging = ping(bed.here, service, { count: 300, interval: 0.01, wait: 1 });
      for (const leg of [...bed.legs, ...bed.legs]) {
        await until("an entry", () => bed.neighbour(service).includes("lladdr"));
        await bed.carrier(leg, false);
        await until("the entry to be the other's", () => bed.neighbour(service).includes(bed.other(leg).mac));
        await bed.carrier(leg, true);
      }
      const { received } = await pinging;
      expect(received).toBeGreaterThan(300 - 4 * MOST_LOST);
    },
    LIMIT_MS,
  );
});

describe.skipIf(!runs)("beside the kernel, which does not have it", () => {
  let bed: BesideBed;
  beforeAll(async () => {
    const lab = { pairs: 2, offloads: false };
    bed = BesideBed.start({ lab, host: { services: Object.values(SERVICE) } });
    await bed.capture({ dataPorts: [PORT, PORT + 1] });
  }, LIMIT_MS);
  // Two questions and answers over each cable by either family; what is long goes in fragments.
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(2 * 2 * 2), LIMIT_MS);

  test.each(FAMILIES)(
    "what is routed over the kernel's addresses is answered (IPv%d)",
    async (family) => {
      const service = SERVICE[family];
      using bound = bed.host.udp({ port: PORT, address: service }, (datagram) => void datagram.reply());
      using any = bed.host.udp(PORT + 1, (datagram) => void datagram.reply());
      const whole = family === 4 ? 32 : 128;
      for (const { b } of bed.lab.pairs) {
        const router = family === 4 ? b.ipv4 : b.ipv6;
        bed.run("a", `ip route replace ${service}/${whole} via ${router}`);
        expect(await bed.ask(service, PORT)).toBe(`${service} ${PORT} 8`);
        expect(await bed.ask(service, PORT + 1, 4000)).toBe(`${service} ${PORT + 1} 4000`);
      }
      expect(bound.statistics().received + any.statistics().received).toBe(4);
      // Nobody answers for it on the link: it is no neighbour.
      bed.run("a", `ip route replace ${service}/${whole} dev ${bed.lab.pairs[0]!.a.name}`);
      const { received } = await ping({ lab: bed.lab, side: "a" }, service, { count: 1, wait: 0.5 });
      expect(received).toBe(0);
    },
    LIMIT_MS,
  );
});
