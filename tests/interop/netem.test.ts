/**
 * Two paths through the kernel's emulator of bad networks (sch_netem), which repeats, delays, overtakes and loses: redundant sending
 * hands each datagram on once, and BFD calls no path dead that lives. Where the kernel here has none, the virtual machine's has.
 */
import { describe, expect, test } from "bun:test";
import { type PathSide, TwoPathLab } from "../../examples/two-path-lab.ts";
import {
  attach,
  Bfd,
  type BfdSession,
  Host,
  IpAddress,
  Loop,
  Prefix,
  redundant,
  type RedundantSocket,
  type XdpDevice,
} from "../../index.ts";
import { Lab, until } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";
import { settleAccounts } from "../support/stream.ts";

const LIMIT_MS = 240_000;
const PATIENCE_MS = 60_000;
const PORT = 4243;
const COUNT = 500;
const SEND_EVERY_MS = 2;
const NUMBER_BYTES = 4;
/** Several times what the emulator delays by, and than an emulated processor stands still. */
const BFD = { intervalMs: 100, multiplier: 20 } as const;
/** BFD packets of each end over a path, under which a session that could be confused would be. */
const PACKETS = 100;

/** tc-netem(8). The jitter alone lets packets overtake each other. */
const BAD = ["delay", "10ms", "8ms", "duplicate", "20%"] as const;
const WORSE = [...BAD, "loss", "10%"] as const;
const DEAD = ["loss", "100%"] as const;

/** True (skip) where this kernel has no such emulator (CONFIG_NET_SCH_NETEM). */
const noNetem = (): boolean => {
  using lab = Lab.create();
  const words = ["tc", "qdisc", "add", "dev", lab.a.name, "root", "netem", ...BAD];
  const { code, stderr } = lab.exec("a", words, { check: false });
  return skipUnless(code === 0, `no netem on this kernel: ${stderr.trim()}`, { couldRun: false });
};

/** Has both directions of a path pass the emulator from now on, instead of what was said before. */
const emulate = (lab: TwoPathLab, path: 0 | 1, words: readonly string[]): void => {
  const { middle, towards } = lab.paths[path];
  for (const name of [towards.client, towards.host])
    lab.lab.exec(middle, ["tc", "qdisc", "replace", "dev", name, "root", "netem", ...words]);
};

const otherOf = (end: PathSide): PathSide => (end === "host" ? "client" : "host");

/** One end: a host with an interface on each path, BFD over both, and a socket that sends over all that live. */
class End {
  readonly host: Host;
  readonly devices: readonly XdpDevice[];
  readonly sessions: readonly BfdSession[];
  readonly socket: RedundantSocket;
  /** Numbers as they were handed on. */
  readonly heard: number[] = [];
  /** What became of its paths. */
  readonly changes: string[] = [];
  sent = 0;
  readonly #loop: Loop;
  readonly #bfd: Bfd;
  readonly #gateways: readonly string[];

  constructor(loop: Loop, lab: TwoPathLab, end: PathSide, family: 4 | 6) {
    const bits = family === 4 ? 32 : 128;
    const other = lab.addressOf(otherOf(end))[family];
    this.#loop = loop;
    this.host = new Host({ loop, paths: { verifyMs: 200, damping: false } });
    this.#gateways = lab.paths.map((path) => path[end].gateways[family]);
    this.devices = lab.paths.map((path) => attach(path[end].name, { namespace: lab.namespace(end) }));
    this.host.addService(lab.addressOf(end)[family], { dad: false });
    const interfaces = lab.paths.map((path, i) =>
      this.host.join(this.devices[i]!, {
        addresses: [`${path[end].ipv4}/24`, `${path[end].ipv6}/64`],
        dad: false,
      }),
    );
    for (const [i, gateway] of this.#gateways.entries())
      this.host.addRoute({
        prefix: Prefix.parse(`${other}/${bits}`),
        gateway: IpAddress.parse(gateway),
        interface: interfaces[i]!.index,
        metric: 10 + i,
        kind: "unicast",
      });
    this.#bfd = new Bfd(this.host);
    this.sessions = this.#gateways.map((gateway, i) => {
      const session = this.#bfd.session({ peer: gateway, interface: interfaces[i]!.name, ...BFD });
      this.host.paths.watch({ gateway }, session);
      return session;
    });
    this.host.on((event) => {
      if (event.kind === "path")
        this.changes.push(`${event.path.toString()} ${event.state}: ${event.reason}`);
    });
    const address = lab.addressOf(end)[family];
    const remote = { address: other, port: PORT };
    this.socket = redundant(this.host, { address, port: PORT, remote }, ({ view }, at, length) => {
      expect(length).toBe(NUMBER_BYTES);
      this.heard.push(view.getUint32(at));
    });
  }

  path(i: number) {
    return this.host.paths.find({ gateway: this.#gateways[i]! })!;
  }

  /** Sends the next numbers, so many; resolves when the last has left. */
  async send(count: number): Promise<void> {
    const last = this.sent + count;
    const timer = this.#loop.every(SEND_EVERY_MS, () => {
      if (this.sent === last) return;
      const copies = this.socket.send(NUMBER_BYTES, (view, at) => view.setUint32(at, this.sent));
      if (copies > 0) this.sent += 1;
    });
    await until("all numbers to have left", () => this.sent === last, PATIENCE_MS);
    timer.cancel();
  }

  /** Waits until each session has heard so many packets more. */
  async packets(): Promise<void> {
    const before = this.sessions.map((session) => session.statistics().received);
    const more = (session: BfdSession, i: number): boolean =>
      session.statistics().received >= before[i]! + PACKETS;
    await until("BFD packets", () => this.sessions.every(more), PATIENCE_MS);
  }

  close(): void {
    this.#bfd.close();
    this.socket.close();
    this.host.close();
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((one, two) => one - two);

const scene = async (
  family: 4 | 6,
  act: (lab: TwoPathLab, ends: readonly [End, End]) => Promise<void>,
): Promise<void> => {
  using lab = TwoPathLab.create({ shape: "switched", client: "program", host: "program" });
  const errors: unknown[] = [];
  const loop = new Loop({ onError: (error) => void errors.push(error) });
  const ends = [new End(loop, lab, "client", family), new End(loop, lab, "host", family)] as const;
  try {
    void loop.run();
    const known = (end: End): boolean =>
      end.sessions.every(({ state }) => state === "up") && [0, 1].every((i) => end.path(i).state === "up");
    await until("all paths to be up", () => ends.every(known), PATIENCE_MS);
    for (const end of ends) end.changes.length = 0;
    await act(lab, ends);
    expect(errors).toEqual([]);
  } finally {
    for (const end of ends) end.close();
    loop.stop();
    for (const { devices } of ends) {
      settleAccounts(...devices);
      for (const device of devices) device.close();
    }
    loop.close();
  }
};

const skip = skipWithoutLab(TwoPathLab.unavailable()) || noNetem();

describe.skipIf(skip).each([4, 6] as const)("IPv%i over two bad paths", (family) => {
  test(
    "what both repeat and mix up is heard once, also while one of them is dead",
    async () => {
      await scene(family, async (lab, ends) => {
        for (const path of [0, 1] as const) emulate(lab, path, BAD);
        await Promise.all(ends.flatMap((end) => [end.send(COUNT), end.packets()]));
        const heardAll = (count: number): Promise<boolean> =>
          until("every number", () => ends.every(({ heard }) => heard.length >= count), PATIENCE_MS);
        await heardAll(COUNT);
        for (const { changes } of ends) expect(changes).toEqual([]);
        emulate(lab, 0, DEAD);
        // The first of these go into a path that nobody knows is dead.
        await Promise.all(ends.map((end) => end.send(COUNT)));
        await until("both to see it", () => ends.every((end) => end.path(0).state === "down"), PATIENCE_MS);
        await Promise.all(ends.map((end) => end.send(COUNT)));
        await heardAll(3 * COUNT);
        emulate(lab, 0, BAD);
        await until("it to be up", () => ends.every((end) => end.path(0).state === "up"), PATIENCE_MS);
        await Promise.all(ends.map((end) => end.send(COUNT)));
        await heardAll(4 * COUNT);
        for (const { heard, socket, sessions } of ends) {
          expect(sorted(heard)).toEqual(upTo(4 * COUNT));
          const { received, duplicates, reordered, missing, stale, malformed } = socket.statistics();
          expect([received, missing, stale, malformed]).toEqual([4 * COUNT, 0, 0, 0]);
          // Two copies while both lived, some of them twice, and not in order.
          expect(duplicates).toBeGreaterThan(2 * COUNT);
          expect(reordered).toBeGreaterThan(0);
          expect(sessions.map((session) => session.statistics().downs)).toEqual([1, 0]);
        }
        for (const { changes } of ends) {
          expect(changes.filter((change) => change.includes(" down: "))).toEqual([
            expect.stringMatching(/ down: bfd$/),
          ]);
          expect(changes.at(-1)).toEndWith(" up: verified");
        }
      });
    },
    LIMIT_MS,
  );

  test(
    "a tenth lost as well: both stay up, and only what both lost is missing",
    async () => {
      await scene(family, async (lab, ends) => {
        for (const path of [0, 1] as const) emulate(lab, path, WORSE);
        await Promise.all(ends.flatMap((end) => [end.send(COUNT), end.packets()]));
        for (const path of [0, 1] as const) emulate(lab, path, BAD);
        // The last comes after all the rest, whatever waits in the emulator: it is sent when that is empty.
        await Promise.all(ends.map((end) => end.packets()));
        await Promise.all(ends.map((end) => end.send(1)));
        await until("the last", () => ends.every(({ heard }) => heard.includes(COUNT)), PATIENCE_MS);
        for (const { heard, socket, changes, sessions } of ends) {
          expect(new Set(heard).size).toBe(heard.length);
          const { received, missing } = socket.statistics();
          expect([received, received + missing]).toEqual([heard.length, COUNT + 1]);
          // A hundredth is lost twice; ten times as many would be no accident.
          expect(missing).toBeLessThan(COUNT / 10);
          expect(changes).toEqual([]);
          expect(sessions.map((session) => session.statistics().downs)).toEqual([0, 0]);
        }
      });
    },
    LIMIT_MS,
  );
});
