/** Monitors of paths with the kernel as the next hop: silent cuts of either direction, a next hop that falls silent, and healing. */
import { describe, expect, test } from "bun:test";
import {
  EchoMonitor,
  type Host,
  type Loop,
  NeighbourMonitor,
  type Path,
  type PathMonitor,
  RouteMonitor,
} from "../../index.ts";
import { BesideBed } from "../support/beside-bed.ts";
import { HostBed } from "../support/host-bed.ts";
import { Lab, type Side, until } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

const INTERVAL_MS = 50;
const COUNT = 3;
const DEADLINE_MS = INTERVAL_MS * COUNT;
const OPTIONS = { intervalMs: INTERVAL_MS, count: COUNT };
/** Above all that a busy machine needs for a bed and some cuts. */
const TEST_MS = 60_000;
const LIMIT_MS = 15_000;

const noLab = skipWithoutLab(Lab.unavailable());
const noCuts = skipUnless(Bun.which("nft") !== null, "nft is not installed", { couldRun: true });

/** Where frames are lost at the kernel's end: what comes from us, or what it answers. */
type Where = "ingress" | "egress";

/** Runs a command beside this process's loop, whose turns go on; at the next hop's end unless told. */
const command = async (lab: Lab, words: readonly string[], side: Side = "a"): Promise<void> => {
  const program = lab.spawn(side, words);
  const [said, code] = await Promise.all([program.stderr.text(), program.exited]);
  if (code !== 0) throw new Error(`${words.join(" ")}: ${said.trim()}`);
};

const cut = (lab: Lab, where: Where): Promise<void> =>
  command(lab, [
    "nft",
    `table netdev cut { chain loss { type filter hook ${where} device "${lab.a.name}" priority 0; policy drop; }; }`,
  ]);

const heal = (lab: Lab): Promise<void> => command(lab, ["nft", "delete table netdev cut"]);

/** What happens to the next hop, and how it ends. The carrier stays. */
interface Silence {
  readonly name: string;
  readonly begin: (lab: Lab) => Promise<void>;
  readonly end: (lab: Lab) => Promise<void>;
}

const CUTS: readonly Silence[] = [
  { name: "questions are lost", begin: (lab) => cut(lab, "ingress"), end: heal },
  { name: "answers are lost", begin: (lab) => cut(lab, "egress"), end: heal },
];
const DEAF4: Silence = {
  name: "the next hop answers no ARP any more",
  begin: (lab) => command(lab, ["ip", "link", "set", lab.a.name, "arp", "off"]),
  end: (lab) => command(lab, ["ip", "link", "set", lab.a.name, "arp", "on"]),
};
const GONE6: Silence = {
  name: "the next hop loses its address",
  begin: (lab) => command(lab, ["ip", "address", "del", `${lab.a.ipv6}/64`, "dev", lab.a.name]),
  end: (lab) => command(lab, ["ip", "address", "add", `${lab.a.ipv6}/64`, "dev", lab.a.name, "nodad"]),
};

interface Change {
  readonly state: string;
  readonly reason: string;
  readonly silentMs: number;
  readonly atMs: number;
}

/** Changes of a path, and by how much the loop's turns were late in the meantime. */
class Watched {
  readonly path: Path;
  readonly changes: Change[] = [];
  readonly #loop: Loop;
  #tickMs: number;
  #lateMs = 0;

  constructor(loop: Loop, host: Host, path: Path, monitor: PathMonitor) {
    this.path = path;
    this.#loop = loop;
    this.#tickMs = loop.now;
    loop.every(1, () => {
      this.#lateMs = Math.max(this.#lateMs, loop.now - this.#tickMs);
      this.#tickMs = loop.now;
    });
    host.on((event) => {
      if (event.kind !== "path" || event.path !== path) return;
      const { state, reason, silentMs, atMs } = event;
      this.changes.push({ state, reason, silentMs, atMs });
    });
    host.paths.watch(path, monitor);
  }

  /** Waits for the first round trip. */
  async measured(): Promise<void> {
    await until("a round trip", () => this.path.rttMs !== undefined, LIMIT_MS);
    expect([this.path.state, this.changes]).toEqual(["up", []]);
  }

  /** What happened from a silence to its end; throws where the path did not go and come back. */
  async through(lab: Lab, silence: Silence): Promise<{ readonly down: Change; readonly up: Change }> {
    this.changes.length = 0;
    this.#lateMs = 0;
    const beginMs = this.#loop.now;
    await silence.begin(lab);
    const cutMs = this.#loop.now;
    await until(`the path to be down because ${silence.name}`, () => this.path.state === "down", LIMIT_MS);
    const lateMs = this.#lateMs;
    const down = this.changes[0]!;
    // The path was not given up before its time, nor after it by more than a tick and what the machine was late by.
    expect(down.silentMs).toBeGreaterThanOrEqual(DEADLINE_MS);
    expect(down.atMs - beginMs).toBeGreaterThan(DEADLINE_MS - INTERVAL_MS - lateMs);
    expect(down.silentMs).toBeLessThanOrEqual(DEADLINE_MS + INTERVAL_MS + 2 * lateMs);
    expect(down.atMs - cutMs).toBeLessThanOrEqual(DEADLINE_MS + INTERVAL_MS + 2 * lateMs);
    await silence.end(lab);
    await until("the path to be up again", () => this.path.state === "up", LIMIT_MS);
    return { down, up: this.changes.at(-1)! };
  }
}

describe.skipIf(noLab || noCuts)("a monitor with the kernel as the next hop", () => {
  for (const family of [4, 6] as const)
    for (const kind of ["neighbour", "echo"] as const) {
      const last = kind === "echo" ? [] : [family === 4 ? DEAF4 : GONE6];
      test(
        `by ${kind === "echo" ? "echoes" : "neighbour"} over IPv${family} sees each silence in time`,
        async () => {
          const bed = await HostBed.start({ host: { paths: { verifyMs: 100, damping: false } } });
          try {
            const { lab, host, loop } = bed;
            const peer = host.paths.peer(family === 4 ? lab.a.ipv4 : lab.a.ipv6);
            const monitor =
              kind === "echo" ? new EchoMonitor(host, OPTIONS) : new NeighbourMonitor(host, OPTIONS);
            const watched = new Watched(loop, host, peer.paths[0]!, monitor);
            await watched.measured();
            for (const silence of [...CUTS, ...last]) {
              const { down, up } = await watched.through(lab, silence);
              expect([silence.name, down.reason, up.reason]).toEqual([
                silence.name,
                kind === "echo" ? "health" : "neighbour",
                "verified",
              ]);
            }
            expect(monitor.statistics()).toMatchObject({ downs: CUTS.length + last.length });
            peer.close();
          } catch (error) {
            await bed.end().catch(() => {});
            throw error;
          }
          expect(await bed.end()).toBeGreaterThan(0);
        },
        TEST_MS,
      );
    }
});

describe.skipIf(noLab || noCuts)("a monitor beside the kernel", () => {
  /** The kernel asks three times, so far apart. */
  const RETRANS_MS = 20;

  const beside = async (
    prepare: (lab: Lab) => void,
    work: (bed: BesideBed, watched: (monitor: PathMonitor) => Watched) => Promise<void>,
    claim: readonly { protocol: number }[] = [],
  ): Promise<void> => {
    const bed = BesideBed.start({
      prepare,
      attach: { claim: [...claim] },
      host: { paths: { verifyMs: 100, damping: false } },
    });
    try {
      const { host, loop, lab } = bed;
      await work(bed, (monitor) => {
        const [path] = host.paths.peer(lab.a.ipv4).paths;
        return new Watched(loop, host, path!, monitor);
      });
    } catch (error) {
      await bed.end().catch(() => {});
      throw error;
    }
    await bed.end();
  };

  test(
    "has the kernel ask its neighbour, and sees each silence in time",
    () =>
      beside(
        (lab) => void lab.exec("b", ["sysctl", "-qw", `net.ipv4.neigh.vb.retrans_time_ms=${RETRANS_MS}`]),
        async ({ host, lab }, watch) => {
          const watched = watch(new NeighbourMonitor(host, OPTIONS));
          await watched.measured();
          for (const silence of [...CUTS, DEAF4]) {
            const { down } = await watched.through(lab, silence);
            expect([silence.name, down.reason]).toEqual([silence.name, "neighbour"]);
          }
        },
      ),
    TEST_MS,
  );

  test(
    "echoes over a device that claims ICMP",
    () =>
      beside(
        () => {},
        async ({ host, lab }, watch) => {
          const watched = watch(new EchoMonitor(host, OPTIONS));
          await watched.measured();
          for (const silence of CUTS) await watched.through(lab, silence);
          // The kernel's own echoes come back to it.
          await command(lab, ["ping", "-q", "-c", "1", "-W", "5", lab.a.ipv4], "b");
        },
        [{ protocol: 1 }],
      ),
    TEST_MS,
  );

  test(
    "goes by a route that the kernel's routing withdraws",
    () =>
      beside(
        () => {},
        async (bed, watch) => {
          const { host, lab } = bed;
          const route = ["203.0.113.0/24", "via", lab.a.ipv4, "dev", lab.b.name];
          bed.run("b", ["ip", "route", "add", ...route]);
          const watched = watch(new RouteMonitor(host, "203.0.113.0/24", { origin: "kernel" }));
          await until("the route to be seen", () => watched.path.monitors[0]!.verdict === "up", LIMIT_MS);
          bed.run("b", ["ip", "route", "del", ...route]);
          await until("the path to be down", () => watched.path.state === "down", LIMIT_MS);
          expect(watched.changes.at(-1)).toMatchObject({ state: "down", reason: "route", silentMs: 0 });
          bed.run("b", ["ip", "route", "add", ...route]);
          await until("the path to be up again", () => watched.path.state === "up", LIMIT_MS);
        },
      ),
    TEST_MS,
  );
});
