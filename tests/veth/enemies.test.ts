/**
 * The old enemies: each of these has cost somebody a day. What may hang or crash runs in a child process, and where the
 * enemy can be shown at work there is a negative control, so that the test would notice if it looked away.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { getLink } from "../../ffi/net/link.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import * as abi from "../../ffi/sys/abi.ts";
import { close, cString } from "../../ffi/sys/libc.ts";
import { addressOf, copyOut, mapAnonymous, struct, wrapInt32 } from "../../ffi/sys/memory.ts";
import { bindRaw, closeRaw, openRaw, type RawSocket } from "../../ffi/xsk/setup.ts";
import { createBurst, SystemError, Umem } from "../../index.ts";
import { FakeKernel } from "../support/fake-rings.ts";
import { Lab } from "../support/lab.ts";
import { STORE_AFTER_MS } from "../support/store-later.ts";
import { runFile, runSnippet } from "../support/subprocess.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

const SPIN = join(import.meta.dir, "..", "support", "spin.ts");
/** The store comes 0.4 s after the start; a loop that has not seen it by then never will. */
const CONTROL_LIMIT_MS = 3000;

describe("load hoisting", () => {
  test.each(["peek", "needWakeup", "pending", "free"])(
    "a hot loop on %s sees another thread's store",
    async (look) => {
      const child = await runFile(SPIN, { args: [look], limitMs: CONTROL_LIMIT_MS });
      expect(child).toMatchObject({ code: 0, late: false, stderr: "" });
      // It did spin until the store; a loop that ended before it would have been no test.
      expect(JSON.parse(child.stdout).ms).toBeGreaterThan(STORE_AFTER_MS / 2);
    },
    15_000,
  );

  // On other processors than x86 the ring loads atomically, and the engine may compile the plain loop otherwise.
  test.skipIf(skipUnless(process.arch === "x64", "the control is of the x86 compiler", { couldRun: false }))(
    "control: a plain load in such a loop does not",
    async () => {
      const child = await runFile(SPIN, { args: ["plain"], limitMs: CONTROL_LIMIT_MS });
      expect(child).toMatchObject({ late: true, stdout: "" });
    },
    15_000,
  );

  test.skipIf(skipWithoutLab(Lab.unavailable()))(
    "a hot loop on receive sees the kernel's store",
    async () => {
      const child = await runSnippet(`
        import { attach, createBurst } from "../../index.ts";
        import { Lab } from "../support/lab.ts";
        using lab = Lab.create({ quiet: true });
        using device = attach(lab.b.name, { namespace: lab.namespace("b"), claim: { icmp: true } });
        const queue = device.queues[0]!;
        const burst = createBurst(64);
        lab.exec("b", ["ip", "neigh", "replace", lab.a.ipv4, "lladdr", "02:00:00:00:00:01", "dev", lab.b.name]);
        lab.spawn("a", ["ping", "-c3", "-i0.4", "-W1", lab.b.ipv4]);
        const wait = () => {
          let count = 0;
          while ((count = queue.receive(burst)) === 0);
          return count;
        };
        const began = performance.now();
        for (let got = 0; got < 3; ) {
          const count = wait();
          got += count;
          queue.settle(burst, count);
          queue.flush();
        }
        console.log(JSON.stringify({ ms: performance.now() - began }));
        device.close();
        lab.close();
        process.exit(0);
      `);
      expect(child).toMatchObject({ code: 0, late: false });
      // Two intervals of ping: it spun through both.
      expect(JSON.parse(child.stdout).ms).toBeGreaterThan(700);
    },
    15_000,
  );
});

describe("stale pointers", () => {
  /** Writes through TypeScript, reads through the address that C would have, in a hot loop with garbage around it. */
  const rounds = (make: string): string => `
    import { addressOf, struct } from "../../ffi/sys/memory.ts";
    import { ptr, toArrayBuffer } from "bun:ffi";
    const bytes = ${make};
    const through = new Uint8Array(toArrayBuffer(ptr(bytes), 0, 16));
    const garbage = [];
    let stale = 0;
    const round = (i) => {
      bytes[0] = i & 0xff;
      if (through[0] !== (i & 0xff)) stale += 1;
      if ((i & 0x3ff) === 0) garbage[i & 0xff] = new Uint8Array(2048);
    };
    for (let i = 0; i < 3_000_000; i++) round(i);
    bytes.buffer;
    Bun.gc(true);
    for (let i = 0; i < 3_000_000; i++) round(i);
    console.log(JSON.stringify({ stale }));
    process.exit(0);
  `;

  test("memory of struct() never moves", async () => {
    const child = await runSnippet(rounds("struct(16).bytes"));
    expect(child).toMatchObject({ code: 0, late: false, stderr: "" });
    expect(JSON.parse(child.stdout)).toEqual({ stale: 0 });
  }, 15_000);

  test("control: that of a short typed array does, or the program dies of it", async () => {
    const child = await runSnippet(rounds("new Uint8Array(16)"));
    if (child.code === 0) expect(JSON.parse(child.stdout).stale).toBeGreaterThan(0);
    else expect(child.signal).not.toBeNull();
  }, 15_000);
});

describe("index wrap", () => {
  test.each([0xfffffff0, 0xffffffff, 0x7ffffff8])(
    "the whole round of a socket whose rings start at %p",
    (start) => {
      const size = 16;
      const kernel = new FakeKernel({ size, start, chunks: 64 });
      const { socket, umem } = kernel;
      const burst = createBurst(size);
      let next = 0;
      socket.flush();
      for (let round = 0; round < 50; round++) {
        // No more than is with the kernel between two refills, which come in batches.
        const count = 1 + (round % (size / 2));
        for (let i = 0; i < count; i++) {
          const address = kernel.takeFill() + umem.headroomBytes;
          umem.view.setUint32(address, next + i);
          kernel.deliver(address, 60);
        }
        expect(socket.receive(burst)).toBe(count);
        for (let i = 0; i < count; i++) {
          expect(umem.view.getUint32(burst.address[i]!)).toBe(next + i);
          expect(socket.send(burst.address[i]!, 60, false)).toBe(true);
        }
        socket.settle(burst, count);
        socket.flush();
        for (let i = 0; i < count; i++) {
          const sent = kernel.takeTx()!;
          expect(umem.view.getUint32(sent.address)).toBe(next + i);
          kernel.complete(sent.address);
        }
        expect(kernel.takeTx()).toBeUndefined();
        socket.flush();
        expect(umem.accounts()).toMatchObject({ tx: 0, lent: 0, kept: 0, total: 64 });
        next += count;
      }
      expect(next).toBeGreaterThan(2 * size);
      expect(kernel.rx.producer).toBe((start + next) >>> 0);
      expect(kernel.completion.consumer).toBe((start + next) >>> 0);
      expect(socket.statistics()).toMatchObject({
        rxPackets: next,
        txPackets: next,
        rxForged: 0,
        completionForged: 0,
      });
      socket.close();
      umem.close();
    },
  );
});

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a mapping left open", () => {
  let lab: Lab;
  beforeAll(() => {
    lab = Lab.create({ quiet: true });
  });
  afterAll(() => lab.close());

  const RINGS = { rx: 64, tx: 64, fill: 64, completion: 64 };

  const bound = (umem: Umem): RawSocket =>
    inNamespace(lab.namespace("b"), () => {
      const { index, name } = getLink(lab.b.name);
      const raw = openRaw(umem, RINGS);
      try {
        bindRaw(raw.fd, { ifindex: index, interface: name, queue: 0, queueCount: 1 }, abi.XDP_COPY, -1);
      } catch (error) {
        closeRaw(raw);
        throw error;
      }
      return raw;
    });

  test("closing in our order frees the queue; in the other order it stays bound until the last mapping goes", () => {
    using first = new Umem({ chunks: 64 });
    using second = new Umem({ chunks: 64 });
    for (let i = 0; i < 5; i++) closeRaw(bound(first));
    const raw = bound(first);
    close(raw.fd);
    let refused: unknown;
    try {
      closeRaw(bound(second));
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(SystemError);
    expect((refused as SystemError).code).toBe("EBUSY");
    for (const ring of [raw.rx, raw.tx, raw.fill, raw.completion]) ring?.mapping.unmap();
    closeRaw(bound(second));
  });
});

describe("the FFI's silent coercions", () => {
  test("an address of nothing is an error, not an Error object that is handed to C", () => {
    expect(() => addressOf(new Uint8Array(0))).toThrow();
    const buffer = new ArrayBuffer(16);
    const view = new Uint8Array(buffer);
    expect(addressOf(view)).toBeGreaterThan(0);
    buffer.transfer();
    expect(() => addressOf(view)).toThrow();
    expect(() => addressOf(undefined as never)).toThrow();
  });

  test("NULL and MAP_FAILED are never memory", () => {
    for (const nothing of [null, 2n ** 64n - 1n, undefined]) {
      expect(() => wrapInt32(nothing as never)).toThrow(RangeError);
      expect(() => copyOut(nothing as never, 16)).toThrow(RangeError);
    }
    for (const length of [0, -1, 0.5, Number.NaN, 2 ** 33, "16"])
      expect(() => mapAnonymous(length as never)).toThrow(RangeError);
  });

  test("text with a NUL in it is refused, not cut", () => {
    expect(() => cString("eth0\0evil")).toThrow(RangeError);
    expect([...cString("é")]).toEqual([0xc3, 0xa9, 0]);
  });

  test("a structure's bytes and view are the same memory, zeroed", () => {
    const { bytes, view } = struct(24);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    view.setUint32(4, 0x01020304, true);
    expect([...bytes.subarray(4, 8)]).toEqual([4, 3, 2, 1]);
  });
});

describe("views after unmap", () => {
  test("hot code that goes on reading gets nothing or a TypeError, not a crash", async () => {
    const child = await runSnippet(`
      import { mapAnonymous } from "../../ffi/sys/memory.ts";
      import { Umem } from "../../index.ts";
      const mapping = mapAnonymous(1 << 20)!;
      const bytes = new Uint8Array(mapping.buffer);
      const words = new Int32Array(mapping.buffer);
      const view = new DataView(mapping.buffer);
      const read = (i) => (bytes[i] ?? -1) + (words[i & 0xff] ?? -1);
      const write = (i) => void (bytes[i] = 1);
      let sum = 0;
      for (let i = 0; i < 5_000_000; i++) { sum += read(i & 0xffff); write(i & 0xffff); }
      mapping.unmap();
      mapping.unmap();
      let nothing = 0;
      for (let i = 0; i < 100_000; i++) { if (read(i & 0xffff) === -2) nothing += 1; write(i & 0xffff); }
      let thrown = "";
      try { view.getUint8(0); } catch (error) { thrown = error.name; }
      const umem = new Umem({ chunks: 8 });
      const at = umem.take();
      umem.close();
      let refused = "";
      try { umem.keep(at); } catch (error) { refused = error.name; }
      console.log(JSON.stringify({ nothing, thrown, refused, length: bytes.length }));
    `);
    expect(child).toMatchObject({ code: 0, signal: null, stderr: "" });
    expect(JSON.parse(child.stdout)).toEqual({
      nothing: 100_000,
      thrown: "TypeError",
      refused: "OwnerError",
      length: 0,
    });
  }, 15_000);
});
