/**
 * From attach to close, many times and in every order, and nothing is left: no descriptor, no BPF object, no mapping, no
 * bound queue, no chunk.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { attach, type AttachOptions, SystemError, Umem, type XdpDevice } from "../../index.ts";
import { type Bed, skipBed } from "./bed.ts";
import { addressSpaceBytes, leftBehind, programOn, sharedMappings, strayObjects } from "./kernel-objects.ts";
import { openFds, untilSync } from "./lab.ts";
import { leaseTests } from "./lifecycle-suite-leases.ts";
import { little, Lives, SMALL } from "./lives.ts";
import { skipUnless } from "./skip.ts";
import { settleAccounts, stream } from "./stream.ts";
import { runSnippet } from "./subprocess.ts";

/** Attaching and closing wait for the kernel's grace periods, 50 to 60 ms together on an idle machine. */
const MANY_MS = 240_000;
/** Lives of so many kinds follow each other in one mode before the next mode has its turn. */
const KINDS = 20;

export interface LifecycleOptions {
  /** Beds that differ in their mode alone. */
  readonly modes: readonly Bed[];
  /** How many devices to attach and close in a row. */
  readonly count: number;
}

/** Runs the suite. Call it inside a test file. */
export const lifecycleSuite = (name: string, { modes: beds, count }: LifecycleOptions): void => {
  const runs =
    !skipBed(beds[0]!) &&
    !skipUnless(Bun.which("bpftool") !== null, "bpftool is not installed", { couldRun: true });
  describe.skipIf(!runs)(`life and end of a device, ${name}`, () => {
    const lives = new Lives(beds);
    afterAll(() => lives.close());
    lifeTests(lives, count);
    leaseTests(lives);
    endTests(lives);
  });
};

const lifeTests = (lives: Lives, count: number): void => {
  const { bed, modes, open, lab } = lives;
  const LITTLE = little(bed);
  /** By then every kind of life has been lived once in each mode, and the libraries are loaded. */
  const warmAt = KINDS * modes.length;

  /** One life, of a kind that its number decides; returns how many devices were attached. */
  const live = (i: number, mode: Bed["attach"]): number => {
    switch (i % 20) {
      case 3: {
        using a = open("a", mode);
        using b = open("b", mode);
        stream(a, b, { count: 64, length: () => SMALL, window: 16 });
        settleAccounts(a, b);
        return 2;
      }
      case 7: {
        using a = open("a", mode);
        using b = open("b", mode);
        expect(lives.keepSome(a, b, 20).length).toBe(20);
        expect(b.umem.accounts()).toMatchObject({ kept: 20, lent: 0 });
        return 2;
      }
      case 11: {
        using b = open("b", mode, lives.wide());
        expect(b.queues.length).toBe(lives.wideQueues);
        return 1;
      }
      case 15:
        expect(() => open("b", { ...mode, queues: [9] })).toThrow(SystemError);
        expect(() => open("b", { ...mode, claim: [{ udp: 9, tcp: 9 }] })).toThrow(TypeError);
        expect(() => open("b", { ...mode, claim: [{ destination: "10.0.0.0/99" }] })).toThrow(RangeError);
        expect(() => open("b", { ...mode, ...bed.refused, multiBuffer: true })).toThrow(SystemError);
        break;
    }
    using b = open("b", mode);
    expect(b.open).toBe(true);
    return 1;
  };

  test(
    `${count} attaches and closes in one process leave no descriptor, BPF object, mapping or bound queue`,
    async () => {
      const before = strayObjects();
      let attached = 0;
      let warm = { fds: 0, maps: sharedMappings(), space: 0 };
      for (let i = 0; attached < count; i++) {
        attached += live(i, modes[Math.floor(i / KINDS) % modes.length]!.attach);
        // By then every kind of life has been lived once in each mode, and the libraries are loaded.
        if (i === warmAt) warm = { fds: openFds(), maps: sharedMappings(), space: addressSpaceBytes() };
      }
      expect(openFds()).toBeLessThanOrEqual(warm.fds);
      expect(sharedMappings()).toEqual(warm.maps);
      expect(sharedMappings()).toEqual({ count: 0, bytes: 0 });
      // A umem of 256 chunks is half a megabyte: one leaked in fifty would show as ten.
      expect(addressSpaceBytes() - warm.space).toBeLessThan(64 * 2 ** 20);
      expect(await leftBehind(before)).toEqual([]);
      expect(programOn(lab(), "b", lab().b.name)).toBeUndefined();
      expect(lives.alive()).toBe(true);
      using again = open("b");
      expect(again.open).toBe(true);
    },
    MANY_MS,
  );

  test(
    "a failing attach leaves nothing, whatever it failed at",
    async () => {
      using held = open("b");
      const before = strayObjects();
      const failing: [string, () => void][] = [
        ["EBUSY", () => open("b")],
        ["EINVAL", () => open("a", { queues: [1] })],
        ["EOPNOTSUPP", () => open("a", bed.refused)],
        ["ENODEV", () => attach("none", { namespace: lab().namespace("a") })],
        ["ENOENT", () => attach(lab().a.name, { namespace: "no-such-namespace" })],
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
      expect(programOn(lab(), "a", lab().a.name)).toBeUndefined();
      using a = open("a");
      stream(a, held, { count: 100, length: () => SMALL, window: 16 });
      settleAccounts(a, held);
    },
    MANY_MS,
  );

  test("options that make no sense are refused before the interface is looked for", () => {
    expect(() => attach("none", { claim: [{ udp: 1, tcp: 1 }] })).toThrow(TypeError);
    expect(() => attach("none", { claim: [{ udp: 70_000 }] })).toThrow(RangeError);
    expect(() => attach("none", { queues: [-1] })).toThrow(RangeError);
    expect(() => attach("none", {})).toThrow(SystemError);
  });

  test("a failing attach gives a shared umem back every chunk", () => {
    using umem = new Umem({ chunks: 256, ...bed.umem });
    const { chunks: _, ...options } = LITTLE;
    const on = (end: "a" | "b", more: AttachOptions = {}): XdpDevice =>
      lives.on(lab(), end, { ...options, umem, ...more });
    expect(() => on("b", bed.refused)).toThrow(SystemError);
    expect(umem.accounts()).toMatchObject({ pool: 256, total: 256 });
    using b = on("b");
    expect(() => on("a", bed.refused)).toThrow(/a shared umem takes the mode/);
    expect(() => on("a", { claim: [{ udp: 1, tcp: 1 }] })).toThrow(TypeError);
    const { pool, fill } = umem.accounts();
    expect(pool + fill).toBe(256);
    // What a socket had that was bound and closed again comes back when its driver has let go.
    const own = (): boolean => umem.accounts().fill === b.queues[0]!.outstanding().fill;
    untilSync("the chunks of the refused to come back", own);
    settleAccounts(b);
  });

  test.each(modes)(
    "$name: a queue is free at once, here and for another process",
    async ({ attach: mode }) => {
      open("b", mode).close();
      open("b", mode).close();
      const child = await runSnippet(
        `import { attach } from "../../index.ts";
       using b = attach("${lab().b.name}", { namespace: "${lab().namespace("b")}", ...${JSON.stringify(mode)} });
       console.log(b.mode.xdp, b.open);`,
      );
      expect(child).toMatchObject({ code: 0, stdout: `${mode.xdp} true\n` });
      using b = open("b", mode);
      settleAccounts(b);
    },
  );
};

const endTests = (lives: Lives): void => {
  const { modes, open, lab } = lives;

  test("using and await using close", async () => {
    {
      using b = open("b");
      expect(b.open).toBe(true);
    }
    expect(programOn(lab(), "b", lab().b.name)).toBeUndefined();
    {
      await using b = open("b");
      expect(b.open).toBe(true);
    }
    expect(programOn(lab(), "b", lab().b.name)).toBeUndefined();
  });

  describe.each([
    ["process.exit inside a handler", "process.exit(7);", 7],
    ["a signal that ends the process", 'process.kill(process.pid, "SIGTERM");', null],
  ] as const)("%s", (_name, end, code) => {
    test.each(modes)("leaves nothing ($name)", async ({ attach: mode }) => {
      const before = strayObjects();
      const load = lab().spawn("a", ["ping", "-i0.01", lab().b.ipv4], { stdout: "ignore" });
      const child = await runSnippet(
        `import { attach, Loop } from "../../index.ts";
         const b = attach("${lab().b.name}", { namespace: "${lab().namespace("b")}", ...${JSON.stringify(mode)} });
         const loop = new Loop();
         loop.receive(b, (frame) => { frame.keep(); ${end} });
         await loop.run();`,
      );
      load.kill();
      expect(child).toMatchObject({ code, late: false });
      expect(await leftBehind(before)).toEqual([]);
      expect(programOn(lab(), "b", lab().b.name)).toBeUndefined();
      expect(lives.alive()).toBe(true);
      using b = open("b", mode);
      settleAccounts(b);
    });
  });

  test("an exception thrown out of the program at top level leaves nothing", async () => {
    const before = strayObjects();
    const child = await runSnippet(
      `import { attach } from "../../index.ts";
       const b = attach("${lab().b.name}", { namespace: "${lab().namespace("b")}" });
       throw new Error("out of the top");`,
    );
    expect(child).toMatchObject({ code: 1, late: false });
    expect(child.stderr).toContain("out of the top");
    expect(await leftBehind(before)).toEqual([]);
    expect(lives.alive()).toBe(true);
  });
};
