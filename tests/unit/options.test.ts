/** What `attach`, a umem and a loop may be told: every wrong type and range is refused by name, before anything is touched. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { attach, inNamespace, Loop, PollWaiter, SystemError, Umem } from "../../index.ts";
import { planAttach } from "../../ffi/options.ts";
import { word } from "../../ffi/sys/libc.ts";
import { resources } from "../support/resources.ts";

/** No machine has it: whatever gets past the check fails with ENODEV, and that would show in the kind of the error. */
const NOWHERE = "mr-none";
const noText: unknown = Object.create(null);

type Kind = typeof TypeError | typeof RangeError;

/** Wrong values, the error they earn and what its text names. */
const WRONG: readonly (readonly [object, Kind, string])[] = [
  [{ namespace: "" }, TypeError, "namespace"],
  [{ namespace: 5 }, TypeError, "namespace"],
  [{ namespace: null }, TypeError, "namespace"],
  [{ namespace: "a\0b" }, TypeError, "namespace"],
  [{ namespace: noText }, TypeError, "namespace"],
  [{ queues: "some" }, TypeError, "queues"],
  [{ queues: null }, TypeError, "queues"],
  [{ queues: 0 }, TypeError, "queues"],
  [{ queues: {} }, TypeError, "queues"],
  [{ queues: [] }, RangeError, "queues"],
  [{ queues: [-1] }, RangeError, "queues"],
  [{ queues: [0.5] }, TypeError, "queues"],
  [{ queues: [Number.NaN] }, TypeError, "queues"],
  [{ queues: ["0"] }, TypeError, "queues"],
  [{ queues: [undefined] }, TypeError, "queues"],
  [{ queues: new Array(2) }, TypeError, "queues"],
  [{ queues: [0n] }, TypeError, "queues"],
  [{ queues: [1, 1] }, RangeError, "queues"],
  [{ queues: Array.from({ length: 33 }, (_, i) => i) }, RangeError, "queues"],
  [{ claim: null }, TypeError, "claim"],
  [{ claim: "something" }, TypeError, "claim"],
  [{ claim: 80 }, TypeError, "claim"],
  [{ claim: [null] }, TypeError, "claim 0"],
  [{ claim: {} }, TypeError, "claim 0"],
  [{ claim: [{ udp: 9000 }, { udp: 70_000 }] }, RangeError, "claim 1: udp"],
  [{ claim: { udp: "9000" } }, TypeError, "claim 0: udp"],
  [{ claim: { upd: 9000 } }, TypeError, "upd"],
  [{ claim: { source: "10.0.0.0/40" } }, RangeError, "claim 0: source"],
  [{ claim: new Array(16_385).fill({ arp: true }) }, RangeError, "claim"],
  [{ xdp: "offload" }, TypeError, "xdp"],
  [{ xdp: null }, TypeError, "xdp"],
  [{ xdp: ["auto"] }, TypeError, "xdp"],
  [{ bind: "zerocopy" }, TypeError, "bind"],
  [{ bind: true }, TypeError, "bind"],
  [{ umem: {} }, TypeError, "umem"],
  [{ umem: null }, TypeError, "umem"],
  [{ umem: noText }, TypeError, "umem"],
  [{ chunks: 0 }, RangeError, "chunks"],
  [{ chunks: -1 }, RangeError, "chunks"],
  [{ chunks: 1.5 }, TypeError, "chunks"],
  [{ chunks: "64" }, TypeError, "chunks"],
  [{ chunks: null }, TypeError, "chunks"],
  [{ chunks: Number.POSITIVE_INFINITY }, TypeError, "chunks"],
  [{ chunks: 2 ** 20 }, RangeError, "chunks"],
  [{ chunks: 2 ** 32 + 8 }, RangeError, "chunks"],
  [{ chunkBytes: 0 }, RangeError, "chunkBytes"],
  [{ chunkBytes: 1024 }, RangeError, "chunkBytes"],
  [{ chunkBytes: 3000 }, RangeError, "chunkBytes"],
  [{ chunkBytes: 8192 }, RangeError, "chunkBytes"],
  [{ chunkBytes: "2048" }, TypeError, "chunkBytes"],
  [{ chunkBytes: Symbol("2048") }, TypeError, "chunkBytes"],
  [{ headroomBytes: -1 }, RangeError, "headroomBytes"],
  [{ headroomBytes: 2048 - 256 - 63 }, RangeError, "headroomBytes"],
  [{ headroomBytes: 0.5 }, TypeError, "headroomBytes"],
  [{ headroomBytes: [] }, TypeError, "headroomBytes"],
  [{ rings: 2048 }, TypeError, "rings"],
  [{ rings: null }, TypeError, "rings"],
  [{ rings: [2048] }, TypeError, "rings"],
  [{ rings: { rx: 3 } }, RangeError, "rings.rx"],
  [{ rings: { rx: -8 } }, RangeError, "rings.rx"],
  [{ rings: { tx: 2 ** 17 } }, RangeError, "rings.tx"],
  [{ rings: { tx: 2 ** 32 } }, RangeError, "rings.tx"],
  [{ rings: { fill: 0 } }, RangeError, "rings.fill"],
  [{ rings: { completion: 0 } }, RangeError, "rings.completion"],
  [{ rings: { completion: 64, tx: 128 } }, RangeError, "rings.completion"],
  [{ rings: { fill: 1.5 } }, TypeError, "rings.fill"],
  [{ rings: { fill: "64" } }, TypeError, "rings.fill"],
  [{ rings: { rx: null } }, TypeError, "rings.rx"],
  [{ rings: { rx: 0, tx: 0 } }, RangeError, "rings.rx and rings.tx"],
  [{ rings: { receive: 64 } }, TypeError, "receive"],
  [{ needWakeup: 1 }, TypeError, "needWakeup"],
  [{ needWakeup: null }, TypeError, "needWakeup"],
  [{ multiBuffer: "yes" }, TypeError, "multiBuffer"],
  [{ shared: 0 }, TypeError, "shared"],
  [{ share: true }, TypeError, "share"],
];

const caught = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe("attach refuses by name", () => {
  const label = (options: object): string =>
    Bun.inspect(options, { depth: 2 }).replace(/\s+/g, " ").slice(0, 60);

  test.each(WRONG.map(([options, kind, named]) => [label(options), options, kind, named] as const))(
    "%s",
    (_label, options, kind, named) => {
      const before = resources();
      const error = caught(() => attach(NOWHERE, options as never));
      expect(error).toBeInstanceOf(kind);
      expect((error as Error).message).toContain(named);
      expect(resources()).toEqual(before);
    },
  );

  test.each([
    [undefined, TypeError],
    [null, TypeError],
    [7, TypeError],
    [noText, TypeError],
    [Symbol("eth0"), TypeError],
    ["", RangeError],
    ["with space", RangeError],
    ["a/b", RangeError],
    ["nul\0", RangeError],
    ["sixteen-letters-", RangeError],
    // 14 characters, but 28 bytes: the kernel counts bytes.
    ["ä".repeat(14), RangeError],
  ])("an interface name of %p", (name, kind) => {
    const error = caught(() => attach(name as never));
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).toContain("name");
  });

  test.each([[null], [5], ["options"], [[]], [noText], [true]])("options of %p", (options) => {
    const error = caught(() => attach(NOWHERE, options as never));
    // An object without a prototype is still an object: with nothing in it, nothing is wrong but the name.
    expect(error).toBeInstanceOf(options === noText ? SystemError : TypeError);
  });

  test("an interface and a namespace that are not there are the system's errors, with nothing left open", () => {
    const before = resources();
    expect(() => attach(NOWHERE)).toThrow(/mr-none.*ENODEV/);
    expect(() => attach("..")).toThrow(SystemError);
    expect(() => attach("lo", { namespace: "mr-no-such-namespace" })).toThrow(/mr-no-such-namespace.*ENOENT/);
    expect(() => attach("lo", { namespace: "/etc/passwd" })).toThrow(SystemError);
    expect(() => attach("lo", { namespace: "." })).toThrow(TypeError);
    expect(resources()).toEqual(before);
  });

  test("sizes beside a umem, and a umem that is closed", () => {
    using umem = new Umem({ chunks: 8 });
    for (const size of [{ chunks: 8 }, { chunkBytes: 2048 }, { headroomBytes: 0 }]) {
      const error = caught(() => attach(NOWHERE, { umem, ...size }));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toContain(`${Object.keys(size)[0]} is the umem's own`);
    }
    umem.close();
    expect(() => attach(NOWHERE, { umem })).toThrow(/umem.*closed/);
  });

  test("undefined is the same as left out", () => {
    const nothing = Object.fromEntries(Object.keys(planAttach("a", {})).map((key) => [key, undefined]));
    expect(planAttach("a", nothing)).toEqual(planAttach("a", {}));
    expect(planAttach("a", { rings: { rx: undefined } })).toEqual(planAttach("a", {}));
  });

  test("the plan is a copy: changing the list of queues afterwards changes nothing", () => {
    const queues = [0, 1];
    const plan = planAttach("a", { queues });
    queues.push(-1);
    expect(plan.queues).toEqual([0, 1]);
  });
});

test("any options at all: a named error or a plan, never a crash, nothing left open", () => {
  const keys = [
    "namespace",
    "queues",
    "claim",
    "xdp",
    "bind",
    "umem",
    "chunks",
    "chunkBytes",
    "headroomBytes",
  ];
  const more = ["rings", "needWakeup", "multiBuffer", "shared", "other"];
  const value = fc.oneof(
    fc.anything({ withBigInt: true, withNullPrototype: true, withSparseArray: true, withTypedArray: true }),
    fc.constantFrom(undefined, "auto", "all", "copy", "native", 2048, 64, true, "everything", { udp: 1 }),
    fc.record({ rx: fc.anything(), tx: fc.constantFrom(64, 0), fill: fc.anything() }, { requiredKeys: [] }),
  );
  const options = fc.dictionary(fc.constantFrom(...keys, ...more), value, { maxKeys: 4 });
  const before = resources();
  let plans = 0;
  fc.assert(
    fc.property(fc.oneof(fc.constant(NOWHERE), fc.anything()), options, (name, given) => {
      const error = caught(() => attach(name as never, given as never));
      if (error instanceof SystemError) plans += 1;
      else if (!(error instanceof TypeError || error instanceof RangeError))
        throw error ?? new Error("attached");
      // The engine's own words would mean that a check is missing.
      if (/is not (an object|a function|iterable)|Cannot convert/.test((error as Error).message)) throw error;
    }),
    { numRuns: 2000 },
  );
  // The run is worth something only if the good and the bad both occur.
  expect(plans).toBeGreaterThan(50);
  expect(plans).toBeLessThan(1950);
  expect(resources()).toEqual(before);
});

describe("a umem refuses by name", () => {
  test.each([
    [undefined, TypeError, "options"],
    [null, TypeError, "options"],
    [8, TypeError, "options"],
    [{}, TypeError, "chunks"],
    [{ chunks: 8, chunkbytes: 4096 }, TypeError, "chunkbytes"],
    [{ chunks: 8, chunkBytes: noText }, TypeError, "chunkBytes"],
    [{ chunks: 8, headroomBytes: null }, TypeError, "headroomBytes"],
    [{ chunks: 8, hugePages: noText }, TypeError, "hugePages"],
    [{ chunks: Number.MAX_SAFE_INTEGER }, RangeError, "chunks"],
  ])("%p", (options, kind, named) => {
    const before = resources();
    const error = caught(() => new Umem(options as never));
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).toContain(named);
    expect(resources()).toEqual(before);
  });

  test.each([Number.NaN, 0.5, 256.5, 2 ** 32 + 256, -(2 ** 32) + 256, Infinity, 2 ** 53])(
    "an address of %p is outside, even while the chunk that it would be cut down to is lent",
    (address) => {
      using umem = new Umem({ chunks: 2 });
      expect(umem.take()).toBe(256);
      for (const verb of ["keep", "release"] as const) {
        expect(() => umem[verb](address)).toThrow(/outside the umem/);
      }
      expect(() => umem.giveToTx(address, 60, umem.txTag(0))).toThrow(/outside the umem/);
      expect(() => umem.giveToTx(256, 60.5, umem.txTag(0))).toThrow(RangeError);
      expect(() => umem.giveToTx(256, 2 ** 32 + 60, umem.txTag(0))).toThrow(RangeError);
      umem.release(256);
      expect(umem.accounts()).toMatchObject({ pool: 2, total: 2 });
    },
  );
});

describe("a loop and its waiter", () => {
  test.each([
    [{ mode: "fast" }, "mode"],
    [{ burst: 0 }, "burst"],
    [{ burst: 64.5 }, "burst"],
    [{ burst: "64" }, "burst"],
    [{ burst: 2 ** 20 }, "burst"],
    [{ spinMs: -1 }, "spinMs"],
    [{ spinMs: Number.NaN }, "spinMs"],
    [{ napMs: 0 }, "napMs"],
    [{ napMs: Infinity }, "napMs"],
    [{ napMs: "5" }, "napMs"],
  ])("%p is refused by name", (options, named) => {
    const error = caught(() => new Loop(options as never));
    expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
    expect((error as Error).message).toContain(named);
  });

  test("handlers, times and devices that are none", () => {
    using loop = new Loop();
    for (const wrong of [undefined, null, 5, {}, "f"]) {
      expect(() => loop.receive({} as never, wrong as never)).toThrow(TypeError);
      expect(() => loop.bursts({} as never, wrong as never)).toThrow(TypeError);
      expect(() => loop.link({} as never, wrong as never)).toThrow(TypeError);
      expect(() => loop.receive(wrong as never, () => {})).toThrow(TypeError);
      expect(() => loop.after(1, wrong as never)).toThrow(TypeError);
      expect(() => loop.signal("SIGUSR2", wrong as never)).toThrow(TypeError);
    }
    for (const wrong of [Number.NaN, Infinity, -Infinity, undefined]) {
      expect(() => loop.after(wrong as never, () => {})).toThrow(/ms/);
      expect(() => loop.every(wrong as never, () => {})).toThrow(/ms/);
    }
    expect(loop.statistics().devices).toBe(0);
  });

  test("a namespace needs a function that does not wait", () => {
    expect(() => inNamespace(undefined, 5 as never)).toThrow(TypeError);
    expect(() => inNamespace("/proc/self/ns/net", async () => 1)).toThrow(/synchronous/);
    expect(() => inNamespace("", () => 1)).toThrow(/namespace/);
  });

  test("no length of sleep is mistaken for another", () => {
    const waiter = new PollWaiter({ eventLoopFd: -1 });
    for (const nothing of [0, -1, Number.NaN, -Infinity]) waiter.sleep(nothing);
    const began = performance.now();
    waiter.sleep(Infinity);
    // The fallback's cap, not nothing: an endless sleep that returned at once would be a spin.
    expect(performance.now() - began).toBeGreaterThan(0.9);
    waiter.close();
    waiter.close();
  });
});

test.each([-1, 0.5, Number.NaN, Infinity, 2 ** 53, "8", undefined, null, 8n])(
  "%p is not a machine word and never crosses the FFI",
  (value) => {
    expect(() => word(value as never)).toThrow(RangeError);
  },
);
