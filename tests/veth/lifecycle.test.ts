/**
 * From attach to close, a thousand times and in every order, and nothing is left: no descriptor, no BPF object, no
 * mapping, no bound queue, no chunk.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  attach,
  type AttachOptions,
  Loop,
  OwnerError,
  SystemError,
  Umem,
  type XdpDevice,
} from "../../index.ts";
import type { Lease } from "../../stack/device/frame.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import {
  addressSpaceBytes,
  leftBehind,
  programOn,
  sharedMappings,
  strayObjects,
} from "../support/kernel-objects.ts";
import { Lab, openFds } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";
import { numbered, settleAccounts, stream, turnUntil } from "../support/stream.ts";
import { runSnippet } from "../support/subprocess.ts";

const SMALL = 60;
const THOUSAND = 1000;
/** Attaching and closing wait for the kernel's grace periods, 50 to 60 ms together on an idle machine. */
const THOUSAND_MS = 240_000;
const MODES = ["generic", "native"] as const;
/** Small, so that a thousand of them are made quickly. */
const LITTLE: AttachOptions = {
  rings: { rx: 64, tx: 64, fill: 64, completion: 64 },
  chunks: 256,
  bind: "copy",
};

const runs =
  !skipWithoutLab(Lab.unavailable()) &&
  !skipUnless(Bun.which("bpftool") !== null, "bpftool is not installed", { couldRun: true });

describe.skipIf(!runs)("life and end of a device", () => {
  let lab: Lab;
  let wide: Lab;
  beforeAll(() => {
    lab = Lab.create({ quiet: true });
    wide = Lab.create({ quiet: true, queues: 4 });
  });
  afterAll(() => {
    lab.close();
    wide.close();
  });

  const open = (side: "a" | "b", options: AttachOptions = {}, where: Lab = lab): XdpDevice =>
    attach(where[side].name, { namespace: where.namespace(side), ...LITTLE, ...options });

  const alive = (where: Lab = lab): boolean =>
    where.exec("a", ["ping", "-c1", "-W1", where.b.ipv4], { check: false }).code === 0;

  /** Receives `count` packets of the stream's kind on `b` and keeps them all. */
  const keepSome = (a: XdpDevice, b: XdpDevice, count: number): Lease[] => {
    const leases: Lease[] = [];
    stream(a, b, { count, length: () => SMALL, window: 16, then: (frame) => void leases.push(frame.keep()) });
    return leases;
  };

  /** One life, of a kind that its number decides; returns how many devices were attached. */
  const live = (i: number, xdp: "generic" | "native"): number => {
    switch (i % 20) {
      case 3: {
        using a = open("a", { xdp });
        using b = open("b", { xdp });
        stream(a, b, { count: 64, length: () => SMALL, window: 16 });
        settleAccounts(a, b);
        return 2;
      }
      case 7: {
        using a = open("a", { xdp });
        using b = open("b", { xdp });
        expect(keepSome(a, b, 20).length).toBe(20);
        expect(b.umem.accounts()).toMatchObject({ kept: 20, lent: 0 });
        return 2;
      }
      case 11: {
        using b = open("b", { xdp }, wide);
        expect(b.queues.length).toBe(4);
        return 1;
      }
      case 15:
        expect(() => open("b", { xdp, queues: [9] })).toThrow(SystemError);
        expect(() => open("b", { xdp, claim: [{ udp: 9, tcp: 9 }] })).toThrow(TypeError);
        expect(() => open("b", { xdp, claim: [{ destination: "10.0.0.0/99" }] })).toThrow(RangeError);
        expect(() => open("b", { xdp, bind: "zero-copy", multiBuffer: true })).toThrow(SystemError);
        break;
    }
    using b = open("b", { xdp });
    expect(b.open).toBe(true);
    return 1;
  };

  test(
    "1000 attaches and closes in one process leave no descriptor, BPF object, mapping or bound queue",
    async () => {
      const before = strayObjects();
      let attached = 0;
      let warm = { fds: 0, maps: sharedMappings(), space: 0 };
      for (let i = 0; attached < THOUSAND; i++) {
        attached += live(i, MODES[i % 40 < 20 ? 0 : 1]);
        // By then every kind of life has been lived once in each mode, and the libraries are loaded.
        if (i === 40) warm = { fds: openFds(), maps: sharedMappings(), space: addressSpaceBytes() };
      }
      expect(openFds()).toBeLessThanOrEqual(warm.fds);
      expect(sharedMappings()).toEqual(warm.maps);
      expect(sharedMappings()).toEqual({ count: 0, bytes: 0 });
      // A umem of 256 chunks is half a megabyte: one leaked in fifty would show as ten.
      expect(addressSpaceBytes() - warm.space).toBeLessThan(64 * 2 ** 20);
      expect(await leftBehind(before)).toEqual([]);
      expect(programOn(lab, "b", lab.b.name)).toBeUndefined();
      expect(alive()).toBe(true);
      using again = open("b");
      expect(again.open).toBe(true);
    },
    THOUSAND_MS,
  );

  test("a failing attach leaves nothing, whatever it failed at", async () => {
    using held = open("b");
    const before = strayObjects();
    const failing: [string, () => void][] = [
      ["EBUSY", () => open("b")],
      ["EINVAL", () => open("a", { queues: [1] })],
      ["EOPNOTSUPP", () => open("a", { bind: "zero-copy" })],
      ["ENODEV", () => attach("none", { namespace: lab.namespace("a") })],
      ["ENOENT", () => attach("va", { namespace: "no-such-namespace" })],
    ];
    const once = (): string[] =>
      failing.map(([, attempt]) => {
        try {
          attempt();
          return "no error";
        } catch (error) {
          return error instanceof SystemError ? error.code : String(error);
        }
      });
    expect(once()).toEqual(failing.map(([code]) => code));
    const fds = openFds();
    const maps = sharedMappings();
    expect(once()).toEqual(failing.map(([code]) => code));
    expect(openFds()).toBeLessThanOrEqual(fds);
    expect(sharedMappings()).toEqual(maps);
    expect(await leftBehind(before)).toEqual([]);
    expect(programOn(lab, "a", lab.a.name)).toBeUndefined();
    using a = open("a");
    stream(a, held, { count: 100, length: () => SMALL, window: 16 });
    settleAccounts(a, held);
  }, 20_000);

  test("options that make no sense are refused before the interface is looked for", () => {
    expect(() => attach("none", { claim: [{ udp: 1, tcp: 1 }] })).toThrow(TypeError);
    expect(() => attach("none", { claim: [{ udp: 70_000 }] })).toThrow(RangeError);
    expect(() => attach("none", { queues: [-1] })).toThrow(RangeError);
    expect(() => attach("none", {})).toThrow(SystemError);
  });

  test("a failing attach gives a shared umem back every chunk", () => {
    using umem = new Umem({ chunks: 256 });
    const { chunks: _, ...options } = LITTLE;
    const on = (end: "a" | "b", more: AttachOptions = {}): XdpDevice =>
      attach(lab[end].name, { namespace: lab.namespace(end), ...options, umem, ...more });
    expect(() => on("b", { bind: "zero-copy" })).toThrow(SystemError);
    expect(umem.accounts()).toMatchObject({ pool: 256, total: 256 });
    using b = on("b");
    expect(() => on("a", { bind: "zero-copy" })).toThrow(/a shared umem takes the mode/);
    expect(() => on("a", { claim: [{ udp: 1, tcp: 1 }] })).toThrow(TypeError);
    expect(umem.accounts().pool + umem.accounts().fill).toBe(256);
    expect(umem.accounts().fill).toBe(b.queues[0]!.outstanding().fill);
    settleAccounts(b);
  });

  test.each(MODES)("%s: a queue is free at once, here and for another process", async (xdp) => {
    open("b", { xdp }).close();
    open("b", { xdp }).close();
    const child = await runSnippet(
      `import { attach } from "../../index.ts";
       using b = attach("${lab.b.name}", { namespace: "${lab.namespace("b")}", xdp: "${xdp}" });
       console.log(b.mode.xdp, b.open);`,
    );
    expect(child).toMatchObject({ code: 0, stdout: `${xdp} true\n` });
    using b = open("b", { xdp });
    settleAccounts(b);
  });

  test.each(MODES)("%s: close inside a handler ends the burst, and no frame is lost", (xdp) => {
    using umem = new Umem({ chunks: 256 });
    const { chunks: _, ...options } = LITTLE;
    using a = open("a", { xdp });
    const b = attach(lab.b.name, { namespace: lab.namespace("b"), ...options, xdp, umem });
    using loop = new Loop({ mode: "spin" });
    let seen = 0;
    loop.add(a);
    const subscription = loop.receive(b, (frame) => {
      seen += 1;
      if (seen === 1) frame.keep();
      if (seen < 5) return;
      b.close();
      expect(b.open).toBe(false);
    });
    const sender = new Transmitter(a.queues[0]!);
    for (let n = 0; n < 32; n++) sender.sendBytes(numbered(n, SMALL));
    turnUntil(loop, "the device to leave the loop", () => !subscription.active);
    expect(seen).toBe(5);
    expect(loop.statistics().handlerErrors).toBe(0);
    expect(umem.accounts()).toEqual({ pool: 255, fill: 0, lent: 0, kept: 1, tx: 0, total: 256 });
    settleAccounts(a);
    expect(programOn(lab, "b", lab.b.name)).toBeUndefined();
  });

  test("close inside a handler of a device with a umem of its own", () => {
    using a = open("a");
    const b = open("b");
    const errors: unknown[] = [];
    using loop = new Loop({ mode: "spin", onError: (error) => void errors.push(error) });
    loop.add(a);
    let seen = 0;
    const subscription = loop.receive(b, (frame) => {
      seen += 1;
      b.close();
      expect(() => frame.send()).toThrow(OwnerError);
    });
    const sender = new Transmitter(a.queues[0]!);
    for (let n = 0; n < 32; n++) sender.sendBytes(numbered(n, SMALL));
    turnUntil(loop, "the device to leave the loop", () => !subscription.active);
    expect(seen).toBe(1);
    expect(errors).toEqual([]);
    settleAccounts(a);
  });

  test("close twice, and everything asked of a closed device", () => {
    const b = open("b");
    b.close();
    b.close();
    expect(b.open).toBe(false);
    expect(b.takeLinkEvent()).toBeUndefined();
    expect(b.statistics().rxPackets).toBe(0);
    expect(() => b.setClaims("everything")).toThrow(/closed/);
    const queue = b.queues[0]!;
    queue.flush();
    expect(queue.reserve(1)).toBe(false);
    expect(b.umem.open).toBe(false);
    expect(b.umem.take()).toBe(-1);
    expect(() => new Loop().receive(b, () => undefined)).toThrow(/is closed/);
  });

  test("leases that outlive their device: use is an error with a name, disposal harmless", () => {
    using a = open("a");
    const b = open("b");
    const [first, second, third, fourth] = keepSome(a, b, 4) as [Lease, Lease, Lease, Lease];
    settleAccounts(a);
    expect(b.umem.accounts()).toMatchObject({ kept: 4 });
    b.close();
    expect(() => first.send()).toThrow(OwnerError);
    expect(() => second.view.getUint8(second.at)).toThrow(TypeError);
    expect(() => second.pass()).toThrow(OwnerError);
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    third.release();
    {
      using last = fourth;
      expect(last.live).toBe(true);
    }
    for (const lease of [first, second, third, fourth]) expect(lease.live).toBe(false);
    settleAccounts(a);
  });

  test("a lease that outlived its memory, forwarded: an error, and the other device loses no chunk", () => {
    using a = open("a");
    const b = open("b");
    const [lease] = keepSome(a, b, 1) as [Lease];
    settleAccounts(a);
    b.close();
    expect(() => lease.forward(a)).toThrow();
    expect(a.umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0 });
    lease[Symbol.dispose]();
  });

  test("leases of a shared umem outlive their device: the memory is there until the umem closes", () => {
    using umem = new Umem({ chunks: 256 });
    const { chunks: _, ...options } = LITTLE;
    using a = open("a");
    const b = attach(lab.b.name, { namespace: lab.namespace("b"), ...options, umem });
    const leases = keepSome(a, b, 8);
    b.close();
    expect(umem.accounts()).toEqual({ pool: 248, fill: 0, lent: 0, kept: 8, tx: 0, total: 256 });
    const [first] = leases as [Lease];
    expect(first.view.getUint32(first.at + 14)).toBe(0);
    expect(first.forward(a)).toBe(true);
    for (const lease of leases) lease[Symbol.dispose]();
    expect(umem.accounts()).toMatchObject({ pool: 256, kept: 0 });
    settleAccounts(a);
  });

  test.each(["first", "second"] as const)(
    "a shared umem of two devices, the %s closed before the other",
    (which) => {
      using pairs = Lab.create({ quiet: true, pairs: 2 });
      const umem = new Umem({ chunks: 512 });
      const { chunks: _, ...options } = LITTLE;
      const on = (pair: number): XdpDevice =>
        attach(pairs.pairs[pair]!.b.name, { namespace: pairs.namespace("b"), ...options, umem });
      const outside = (pair: number): XdpDevice =>
        attach(pairs.pairs[pair]!.a.name, { namespace: pairs.namespace("a"), ...LITTLE });
      using peer0 = outside(0);
      using peer1 = outside(1);
      const devices = [on(0), on(1)] as const;
      const peers = [peer0, peer1] as const;
      for (const i of [0, 1] as const)
        stream(peers[i], devices[i], { count: 100, length: () => SMALL, window: 16 });
      const [gone, left] = which === "first" ? ([0, 1] as const) : ([1, 0] as const);
      devices[gone].close();
      const { pool, fill, total } = umem.accounts();
      expect(pool + fill).toBe(total);
      stream(peers[left], devices[left], { count: 100, length: () => SMALL, window: 16 });
      stream(devices[left], peers[left], { count: 100, length: () => SMALL, window: 16 });
      settleAccounts(devices[left], peer0, peer1);
      // A third joins the memory that the first has left.
      {
        using again = on(gone);
        stream(peers[gone], again, { count: 100, length: () => SMALL, window: 16 });
        settleAccounts(again);
      }
      umem.close();
      expect(umem.open).toBe(true);
      devices[left].close();
      expect(umem.open).toBe(false);
    },
  );

  test("using and await using close", async () => {
    {
      using b = open("b");
      expect(b.open).toBe(true);
    }
    expect(programOn(lab, "b", lab.b.name)).toBeUndefined();
    {
      await using b = open("b");
      expect(b.open).toBe(true);
    }
    expect(programOn(lab, "b", lab.b.name)).toBeUndefined();
  });

  describe.each([
    ["process.exit inside a handler", "process.exit(7);", 7],
    ["a signal that ends the process", 'process.kill(process.pid, "SIGTERM");', null],
  ] as const)("%s", (_name, end, code) => {
    test.each(MODES)("leaves nothing (%s)", async (xdp) => {
      const before = strayObjects();
      const load = lab.spawn("a", ["ping", "-i0.01", lab.b.ipv4], { stdout: "ignore" });
      const child = await runSnippet(
        `import { attach, Loop } from "../../index.ts";
         const b = attach("${lab.b.name}", { namespace: "${lab.namespace("b")}", xdp: "${xdp}" });
         const loop = new Loop();
         loop.receive(b, (frame) => { frame.keep(); ${end} });
         await loop.run();`,
      );
      load.kill();
      expect(child).toMatchObject({ code, late: false });
      expect(await leftBehind(before)).toEqual([]);
      expect(programOn(lab, "b", lab.b.name)).toBeUndefined();
      expect(alive()).toBe(true);
      using b = open("b", { xdp });
      settleAccounts(b);
    });
  });

  test("an exception thrown out of the program at top level leaves nothing", async () => {
    const before = strayObjects();
    const child = await runSnippet(
      `import { attach } from "../../index.ts";
       const b = attach("${lab.b.name}", { namespace: "${lab.namespace("b")}" });
       throw new Error("out of the top");`,
    );
    expect(child).toMatchObject({ code: 1, late: false });
    expect(child.stderr).toContain("out of the top");
    expect(await leftBehind(before)).toEqual([]);
    expect(alive()).toBe(true);
  });
});
