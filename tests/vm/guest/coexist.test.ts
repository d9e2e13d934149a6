/**
 * Beside xdp-filter, xdpdump and others in libxdp's dispatcher, on kernels that have it: each loaded and unloaded in every
 * order while traffic flows, and what a dead process leaves there.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { attach, type AttachOptions, type XdpDevice } from "../../../index.ts";
import { type Bed, cardBeds, skipBed, VETH_BEDS } from "../../support/bed.ts";
import { failure } from "../../support/failure.ts";
import { compilePass } from "../../support/bpf-object.ts";
import { CLAIMED, CoexistTraffic, FILTERED, KERNELS } from "../../support/coexist-traffic.ts";
import { eventually, Ground } from "../../support/ground.ts";
import { leftBehind, strayObjects } from "../../support/kernel-objects.ts";
import { type Lab, openFds } from "../../support/lab.ts";
import { skipUnless } from "../../support/skip.ts";
import { settleAccounts } from "../../support/stream.ts";
import { startSnippet } from "../../support/subprocess.ts";
import { pinned, skipWithoutXdpTools, XdpTools } from "../../support/xdp-tools.ts";

/** Loading takes seconds on an emulated processor, and several are loaded in each test. */
const LIMIT_MS = 240_000;
/** Cards take seconds to come and go. */
const HOOK_LIMIT_MS = 120_000;
/** Claimed datagrams of one phase: several windows. */
const LEAST = 400;
const BURST = 24;
const CYCLES = 10;
/** Programs that libxdp's dispatcher has room for (MAX_DISPATCHER_ACTIONS of xdp/prog_dispatcher.h). */
const DISPATCHER_ROOM = 10;

const FILTER = "10 xdpfilt_alw_all";
const OURS = "50 steer";
const THIRD = "50 pass";

const inGuest = !skipUnless(
  process.env["MILLRACE_VM"] === "1",
  "the dispatcher is tested in the guest (make test-vm)",
  {
    couldRun: false,
  },
);
// An igb is without a link for seconds at the first and the last program; what is lost then is not the dispatcher's.
const beds =
  inGuest && !skipWithoutXdpTools()
    ? [...VETH_BEDS, ...cardBeds()].filter((bed) => !bed.facts.programRestartsLink)
    : [];

type Step = "filter" | "ours" | "third";
const SOME_ORDERS: readonly (readonly Step[])[] = [
  ["filter", "ours", "third"],
  ["third", "ours", "filter"],
];
const ALL_ORDERS: readonly (readonly Step[])[] = [
  ...SOME_ORDERS,
  ["filter", "third", "ours"],
  ["third", "filter", "ours"],
  ["ours", "filter", "third"],
  ["ours", "third", "filter"],
];

const suite = (bed: Bed): void => {
  const ground = new Ground(bed);
  const mode = bed.attach.xdp === "native" ? "native" : "skb";
  let lab: Lab;
  let tools: XdpTools;
  let strays: ReadonlySet<string>;

  beforeEach(() => {
    strays = strayObjects();
    lab = ground.freshLab({ quiet: true, neighbours: true });
    tools = new XdpTools(lab, lab.b);
  }, HOOK_LIMIT_MS);
  afterEach(async () => {
    // The pins of a dispatcher outlive a lab whose interfaces end with it.
    await tools.unloadAll().catch(() => {});
    ground.close();
  }, HOOK_LIMIT_MS);

  const open = (options: AttachOptions = {}): XdpDevice =>
    ground.open("b", { shared: true, queues: [0], claim: [{ udp: CLAIMED }], ...options }, lab);
  const peer = (): XdpDevice => ground.open("a", { queues: [0], claim: [] }, lab);

  /** All that was sent and neither claimed nor dropped is the kernel's. */
  const expectKernel = (traffic: CoexistTraffic, before: number, wanted: number): void => {
    expect(
      eventually(
        () => traffic.kernelCount() - before,
        (count) => count >= wanted,
      ),
    ).toBe(wanted);
  };

  test(
    "the filter before us: it drops, we receive, the kernel has the rest; without it nothing is dropped",
    async () => {
      const files = pinned();
      await tools.loadFilter(mode, FILTERED);
      using from = peer();
      const device = open();
      expect(device.mode.shared).toBe(true);
      expect([device.mode.xdp, device.mode.bind]).toEqual([bed.attach.xdp, bed.attach.bind]);
      expect(tools.status()).toMatchObject({ main: "xdp_dispatcher", mode });
      expect(tools.listed()).toEqual([FILTER, OURS]);
      const traffic = new CoexistTraffic(lab, from);
      const kernel = traffic.kernelCount();
      await traffic.during(device, LEAST, () => Promise.resolve());
      expect(traffic.sent.lost).toBe(0);
      expect(traffic.sent.filtered).toBeGreaterThan(0);
      expect(
        eventually(
          () => tools.filtered(FILTERED),
          (n) => n === traffic.sent.filtered,
        ),
      ).toBe(traffic.sent.filtered);
      expectKernel(traffic, kernel, traffic.sent.kernels);
      expect(device.statistics().program).toMatchObject({ redirected: traffic.sent.claimed, noSocket: 0 });

      await traffic.during(device, LEAST, () => tools.unloadFilter());
      expect(traffic.sent.lost).toBe(0);
      expect(tools.listed()).toEqual([OURS]);
      const alone = traffic.kernelCount();
      traffic.burst(FILTERED, BURST);
      expectKernel(traffic, alone, BURST);

      settleAccounts(device);
      device.close();
      device.close();
      expect(tools.status().main).toBeUndefined();
      expect(pinned()).toEqual(files);
      const left = traffic.kernelCount();
      traffic.burst(CLAIMED, BURST);
      expectKernel(traffic, left, BURST);
      expect(device.statistics().program.redirected).toBe(traffic.sent.claimed);
    },
    LIMIT_MS,
  );

  test(
    "the filter after us, while traffic flows, and xdpdump sees what became of each frame",
    async () => {
      using device = open();
      using from = peer();
      expect(tools.listed()).toEqual([OURS]);
      const traffic = new CoexistTraffic(lab, from);
      await traffic.during(device, LEAST, () => tools.loadFilter(mode, FILTERED));
      expect(traffic.sent.lost).toBe(0);
      expect(tools.listed()).toEqual([FILTER, OURS]);
      const dump = await tools.dump();
      const before = { ...traffic.sent };
      await traffic.during(device, LEAST, () => Promise.resolve());
      const sent = {
        claimed: traffic.sent.claimed - before.claimed,
        filtered: traffic.sent.filtered - before.filtered,
        kernels: traffic.sent.kernels - before.kernels,
      };
      const wanted = {
        "steer()@exit[REDIRECT]": sent.claimed,
        "xdp_dispatcher()@exit[REDIRECT]": sent.claimed,
        "xdpfilt_alw_all()@exit[DROP]": sent.filtered,
      };
      await dump.end();
      expect(dump.text).toContain("0 packets dropped by perf ring");
      const seen = Object.keys(wanted).map((what) => [what, dump.count(what)]);
      expect(Object.fromEntries(seen)).toEqual(wanted);
      expect(dump.count("steer()@exit[PASS]")).toBeGreaterThanOrEqual(sent.kernels);
      expect(traffic.sent.lost).toBe(0);
      expect(tools.listed()).toEqual([FILTER, OURS]);
    },
    LIMIT_MS,
  );

  test.each(
    (bed.name === "veth native" ? ALL_ORDERS : SOME_ORDERS).map(
      (order) => [order.join(", "), order] as const,
    ),
  )(
    "three programs taken off in the order %s, while traffic flows",
    async (_, order) => {
      using pass = compilePass();
      await tools.loadFilter(mode, FILTERED);
      const device = open();
      await tools.load(mode, pass.file);
      using from = peer();
      const traffic = new CoexistTraffic(lab, from);
      const off: Record<Step, () => Promise<void>> = {
        filter: () => tools.unloadFilter(),
        third: () => tools.unload("pass"),
        ours: async () => device.close(),
      };
      const names: Record<Step, string> = { filter: FILTER, ours: OURS, third: THIRD };
      const there = new Set<Step>(["filter", "ours", "third"]);
      expect(tools.listed().sort()).toEqual([FILTER, OURS, THIRD].sort());
      for (const step of order) {
        there.delete(step);
        // Nobody turns the loop of a device that is being closed.
        if (device.open && step !== "ours") await traffic.during(device, LEAST, off[step]);
        else await off[step]();
        expect(traffic.sent.lost).toBe(0);
        expect(tools.listed().sort()).toEqual([...there].map((each) => names[each]).sort());
        const kernel = traffic.kernelCount();
        const redirected = device.statistics().program.redirected;
        traffic.burst(KERNELS, BURST);
        traffic.burst(FILTERED, BURST);
        traffic.burst(CLAIMED, BURST);
        const wanted = BURST * (1 + (there.has("filter") ? 0 : 1) + (there.has("ours") ? 0 : 1));
        expectKernel(traffic, kernel, wanted);
        if (there.has("ours"))
          expect(
            eventually(
              () => device.statistics().program.redirected - redirected,
              (n) => n === BURST,
            ),
          ).toBe(BURST);
      }
      device.close();
      expect(tools.status().main).toBeUndefined();
    },
    LIMIT_MS,
  );

  test(
    "somebody else takes us off: the kernel has the traffic, close has nothing left to do, and an attach works again",
    async () => {
      await tools.loadFilter(mode, FILTERED);
      using from = peer();
      const traffic = new CoexistTraffic(lab, from);
      for (const [how, left] of [
        [() => tools.unload("steer"), [FILTER]],
        [() => tools.unloadAll(), []],
      ] as const) {
        const device = open();
        await how();
        expect(tools.listed()).toEqual([...left]);
        const kernel = traffic.kernelCount();
        traffic.burst(CLAIMED, BURST);
        expectKernel(traffic, kernel, BURST);
        expect(() => device.close()).not.toThrow();
        expect(tools.listed()).toEqual([...left]);
      }
      using again = open();
      await traffic.during(again, LEAST, () => Promise.resolve());
      expect(traffic.sent.lost).toBe(0);
    },
    LIMIT_MS,
  );

  const killed = async (): Promise<void> => {
    const options = {
      namespace: lab.b.namespace,
      ...bed.attach,
      shared: true,
      queues: [0],
      claim: [{ udp: CLAIMED }],
    };
    const child = startSnippet(
      `import { attach } from "../../index.ts";
       attach(${JSON.stringify(lab.b.name)}, ${JSON.stringify(options)});
       console.log("ready");
       process.stdin.on("end", () => process.exit(0)).resume();`,
    );
    const { value } = await child.stdout.getReader().read();
    if (value === undefined) throw new Error(await child.stderr.text());
    child.kill("SIGKILL");
    await child.exited;
  };

  test(
    "kill -9: the program stays and passes everything on; the next attach clears it away, more often than there is room",
    async () => {
      const files = pinned();
      await tools.loadFilter(mode, FILTERED);
      using from = peer();
      const traffic = new CoexistTraffic(lab, from);
      for (let round = 0; round < (bed.name === "veth native" ? DISPATCHER_ROOM + 1 : 2); round++)
        await killed();
      expect(tools.listed()).toEqual([FILTER, OURS]);
      const kernel = traffic.kernelCount();
      traffic.burst(CLAIMED, BURST);
      expectKernel(traffic, kernel, BURST);
      const dead = tools.idOf("steer");
      const device = open();
      expect(tools.listed()).toEqual([FILTER, OURS]);
      expect(tools.idOf("steer")).not.toBe(dead);
      await traffic.during(device, LEAST, () => Promise.resolve());
      expect(traffic.sent.lost).toBe(0);
      device.close();
      // The other way is the administrator's.
      await killed();
      await tools.unload("steer");
      expect(tools.listed()).toEqual([FILTER]);
      await tools.unloadFilter();
      expect(pinned()).toEqual(files);
      // What this process still uses would count as left behind.
      from.close();
      expect(await leftBehind(strays)).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "what excludes what: alone beside a dispatcher, shared beside a program alone, and the two modes",
    async () => {
      await tools.loadFilter(mode, FILTERED);
      const other = bed.attach.xdp === "native" ? "generic" : "native";
      const alone = failure(() => open({ shared: false }));
      expect(alone.code).toBe("EBUSY");
      expect(alone.remedy).toContain("shared: true");
      expect(alone.remedy).toContain(`xdp-loader unload ${lab.b.name}`);
      const crossed = failure(() => open({ xdp: other, bind: "copy" }));
      expect(crossed.code).toBe("EEXIST");
      expect(crossed.remedy).toContain("native and generic programs exclude each other");
      {
        using joined = open({ xdp: "auto" });
        expect(joined.mode.xdp).toBe(bed.attach.xdp as "native" | "generic");
        expect(tools.listed()).toEqual([FILTER, OURS]);
      }
      await tools.unloadFilter();
      using device = open({ shared: false });
      expect(failure(() => open()).code).toBe("EBUSY");
      expect(tools.status()).toMatchObject({ main: "steer", programs: [] });
      expect(device.mode.shared).toBe(false);
    },
    LIMIT_MS,
  );

  test(
    "attached and closed again and again beside the filter: no descriptor, no program, no pin stays",
    async () => {
      await tools.loadFilter(mode, FILTERED);
      open().close();
      const files = pinned().length;
      const fds = openFds();
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        open().close();
        expect(tools.listed()).toEqual([FILTER]);
      }
      expect(openFds()).toBeLessThanOrEqual(fds);
      expect(pinned().length).toBe(files);
      expect(await leftBehind(strays)).toEqual([]);
    },
    LIMIT_MS,
  );
};

for (const bed of beds) describe.skipIf(skipBed(bed))(`shared, ${bed.name}`, () => suite(bed));

describe.skipIf(beds.length === 0)("shared, two devices on one interface", () => {
  test(
    "two devices share an interface queue by queue; attaching the second leaves the first alone",
    () => {
      const ground = new Ground(VETH_BEDS.find((bed) => bed.name === "veth native")!);
      try {
        const lab = ground.freshLab({ quiet: true, neighbours: true, queues: 2 });
        const tools = new XdpTools(lab, lab.b);
        const one = ground.open("b", { shared: true, queues: [0], claim: [{ udp: CLAIMED }] }, lab);
        const two = ground.open("b", { shared: true, queues: [1], claim: [{ udp: CLAIMED }] }, lab);
        expect(tools.listed()).toEqual([OURS, OURS]);
        // A queue has one owner, shared program or not.
        expect(failure(() => ground.open("b", { shared: true, queues: [0] }, lab)).code).toBe("EBUSY");
        expect(tools.listed()).toEqual([OURS, OURS]);
        one.close();
        expect(tools.listed()).toEqual([OURS]);
        two.close();
        expect(tools.status().main).toBeUndefined();
      } finally {
        ground.close();
      }
    },
    LIMIT_MS,
  );

  test(
    "the interface goes away under a shared device: close is quiet",
    () => {
      const ground = new Ground(VETH_BEDS.find((bed) => bed.name === "veth native")!);
      try {
        const lab = ground.freshLab({ quiet: true });
        const device = attach(lab.b.name, { namespace: lab.b.namespace, shared: true });
        lab.exec("b", ["ip", "link", "del", lab.b.name]);
        expect(() => device.close()).not.toThrow();
        lab.exec("b", ["xdp-loader", "clean"]);
      } finally {
        ground.close();
      }
    },
    LIMIT_MS,
  );
});
