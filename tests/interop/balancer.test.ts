/**
 * The balancer between kernel clients and kernel backends: direct server return and tunnels, while backends die, drain, leave
 * and return; and its example alone.
 */
import { describe, expect, test } from "bun:test";
import type { BackendPlace } from "../../examples/balancer/ground.ts";
import { VIPS } from "../../examples/balancer/ground.ts";
import {
  BalancerBed,
  BESIDE,
  decapsulate,
  fieldsOf,
  PORT,
  serveFragments,
  serveTcp,
  unreachablesHeard,
  WAIT_MS,
} from "../support/balancer-bed.ts";
import { Example } from "../support/example.ts";
import { Lab, until } from "../support/lab.ts";
import * as tools from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 120_000;

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need(...names);

/** Waits until three pings in a row are answered: a busy machine may stand still for longer than ping waits. */
const pinged = (bed: BalancerBed, to: string): Promise<boolean> =>
  until(`${to} to answer`, async () => (await tools.ping(bed.clients, to)).received === 3, WAIT_MS);

describe.skipIf(without("curl", "socat", "tshark", "tcpdump"))("direct server return", () => {
  test(
    "spreads UDP and TCP of both families over kernel backends, which answer themselves",
    async () => {
      await using bed = await BalancerBed.start();
      for (const vip of VIPS) {
        const clients = await bed.ask(vip, 60);
        const { byName } = await clients.more(500);
        expect(Object.keys(byName)).toHaveLength(3);
        expect(clients.last().moved).toBe(0);
        await clients.end();
        await serveTcp(bed, vip);
        await serveFragments(bed, vip);
        await pinged(bed, vip);
      }
      const record = await bed.next();
      expect(record).toMatchObject({ tunnelled: 0, tooBig: 0, cut: 0 });
      expect(record.fragments).toBeGreaterThan(0);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.skipIf(without("nping"))(
    "hands ICMP errors of clients to the backend that they are about",
    async () => {
      await using bed = await BalancerBed.start();
      const before = bed.ground.backends.map(unreachablesHeard);
      // Nobody listens at the port that this comes from: the client's kernel says so to the service's address.
      const words = ["--udp", "-c", "5", "-g", "5555", "-p", String(PORT), "--data-string", "x", "-e", "va"];
      await tools.nping(bed.clients, VIPS[0], words);
      const { icmpErrors } = await bed.until("errors", (record) => record.icmpErrors > 0);
      const heard = bed.ground.backends.map((place, i) => unreachablesHeard(place) - before[i]!);
      // A kernel says less than it could where it is asked often (icmp_ratelimit).
      expect(heard.filter((count) => count > 0)).toHaveLength(1);
      expect(Math.max(...heard)).toBeLessThanOrEqual(Math.max(icmpErrors, (await bed.next()).icmpErrors));
    },
    LIMIT_MS,
  );

  test(
    "moves the flows of a backend that dies, and no others; its return moves none",
    async () => {
      await using bed = await BalancerBed.start();
      const [, victim] = bed.ground.backends;
      const clients = await bed.ask(VIPS[0], 90);
      const { byName } = clients.last();
      const lost = byName[victim!.name]!;
      expect(lost).toBeGreaterThan(10);
      bed.ground.plug(victim!, false);
      await bed.until("it to be down", ({ backends }) => backends[1]!.state === "down");
      await until("its flows to move", () => clients.last().byName[victim!.name] === undefined, WAIT_MS);
      expect(clients.last().moved).toBe(lost);
      bed.ground.plug(victim!, true);
      await bed.until("it to be up", ({ backends }) => backends[1]!.state === "up");
      // Answers that waited at the dead end may still come, so that it is the balancer that says how many flows moved.
      const { byName: after } = await clients.more(1000);
      expect(after[victim!.name]).toBeUndefined();
      expect((await bed.next()).moved).toBe(lost);
      // New flows find it again.
      const others = await bed.ask(VIPS[0], 60);
      expect(others.last().byName[victim!.name]).toBeGreaterThan(0);
      await Promise.all([clients.end(), others.end()]);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test(
    "drains a backend, forgets it when it is empty, and takes it back, while flows go on",
    async () => {
      await using bed = await BalancerBed.start(["--idle", "3"]);
      const { backends } = bed.ground;
      const [first, second, third] = backends.map(({ ipv4 }) => ipv4) as [string, string, string];
      const old = await bed.ask(VIPS[0], 60);
      const share = old.last().byName["backend2"]!;
      bed.write([first, `${second} drain`, third]);
      await bed.until("it to drain", (record) => record.backends[1]!.state === "draining");
      const fresh = await bed.ask(VIPS[0], 60);
      expect(fresh.last().byName["backend2"]).toBeUndefined();
      await old.more(500);
      expect(old.last()).toMatchObject({ moved: 0 });
      expect((await bed.next()).backends[1]!.flows).toBe(share);
      // Out of the file, it stays until its flows have ended.
      bed.write([`${first} weight=2`, third]);
      await old.more(500);
      expect((await bed.next()).backends.map(({ address }) => address)).toContain(second);
      await old.end();
      await bed.until("it to be gone", (record) => record.backends.length === 2);
      bed.write([first, second, third]);
      await bed.until(
        "it to be back",
        (record) => record.backends.at(-1)!.state === "up" && record.backends.length === 3,
      );
      const again = await bed.ask(VIPS[0], 60);
      expect(again.last().byName["backend2"]).toBeGreaterThan(0);
      expect((await fresh.more(300)).moved).toBe(0);
      await Promise.all([fresh.end(), again.end()]);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.each([`tcp/${PORT}`, `udp/${PORT}`])(
    "sees by %s that a server has ended while its station goes on",
    async (check) => {
      await using bed = await BalancerBed.start(["--check", check], ({ lab, interface: name }) => {
        // A connection goes through the kernel beside the balancer, which has an address of its own for that.
        lab.exec("b", ["ip", "addr", "add", `${BESIDE}/24`, "dev", name]);
      });
      const [first] = bed.ground.backends;
      await bed.endServer(first!);
      await bed.until("it to be down", ({ backends }) => backends[0]!.state === "down");
      await pinged(bed, first!.ipv4);
      const clients = await bed.ask(VIPS[0], 30);
      expect(Object.keys(clients.last().byName).sort()).toEqual(["backend2", "backend3"]);
      await clients.end();
      await bed.finish();
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("curl", "socat", "tshark", "tcpdump"))("tunnels", () => {
  test.each([
    ["IPv4", ({ ipv4 }: BackendPlace) => ipv4],
    ["IPv6", ({ ipv6 }: BackendPlace) => ipv6],
  ] as const)(
    "over %s carry both families to backends that take them out, with an MTU that clients learn",
    async (family, address) => {
      await using bed = await BalancerBed.start(["--mode", "tunnel"], async ({ backends }) => {
        await Promise.all(backends.map(decapsulate));
        return backends.map(address);
      });
      // First of all: once a client has learned what the tunnel carries, its fragments are as short as that.
      await serveFragments(bed, VIPS[0]);
      for (const vip of VIPS) {
        const clients = await bed.ask(vip, 30, 300);
        expect(Object.keys((await clients.more(100)).byName)).toHaveLength(3);
        expect(clients.last().moved).toBe(0);
        await clients.end();
        await serveTcp(bed, vip);
      }
      const record = await bed.next();
      expect(record.tunnelled).toBe(record.forwarded);
      // Segments of the link's size do not fit, and their sender is told; fragments of that size are cut again.
      expect(record.tooBig).toBeGreaterThan(0);
      expect(record.cut).toBeGreaterThan(0);
      const file = await bed.finish();
      const [outer, protocol] = family === "IPv4" ? ["ip", "ip.proto"] : ["ipv6", "ipv6.nxt"];
      for (const [inner, number] of [
        ["ip", "4"],
        ["ipv6", "41"],
      ]) {
        const filter = `frame.protocols contains "${outer}:${inner}:" && (tcp || udp) && !icmp && !icmpv6`;
        const found = await fieldsOf(file, filter, protocol!);
        expect(found.length).toBeGreaterThan(20);
        for (const line of found) expect(line.split(",")[0]).toBe(number!);
      }
    },
    LIMIT_MS,
  );
});

describe.skipIf(noLab)("alone", () => {
  test(
    "the example balances in a laboratory of its own, and Ctrl-C ends it without a trace",
    async () => {
      using example = new Example("balancer", ["--json"]);
      const accept = ({ pps = 0, flows }: Record<string, unknown>): boolean =>
        Number(pps) > 1000 && (flows as { flows: number }).flows === 100;
      await example.record("packets of all flows", accept);
      expect(await example.end()).toBe(0);
      expect(await example.stderr).toBe("");
    },
    LIMIT_MS,
  );

  test(
    "it says what is wrong with its arguments",
    async () => {
      for (const [args, says] of [
        [["vb", "--address", "10.0.0.1/24", "--vip", "10.0.0.9"], "--service is needed"],
        [
          ["vb", "--service", "sctp/1", "--address", "10.0.0.1/24", "--vip", "10.0.0.9"],
          "udp/PORT or tcp/PORT",
        ],
        [["--mode", "nat"], "direct or tunnel"],
        [["--backend", "10.0.0.1,wait=3"], "weight=N, mac=M and drain"],
      ] as const) {
        using example = new Example("balancer", args);
        expect(await example.ended()).toBe(2);
        expect(await example.stderr).toContain(says);
      }
    },
    LIMIT_MS,
  );
});
