/** The umem's books: one owner for each chunk, every hand-over checked, every chunk always somewhere. */
import { describe, expect, test } from "bun:test";
import { OwnerError, Umem } from "../../ffi/xsk/umem.ts";
import { FakeKernel } from "../support/fake-rings.ts";

const moveFromFillToRx = (kernel: FakeKernel, length = 60): number => {
  const address = kernel.takeFill() + kernel.umem.headroomBytes;
  kernel.deliver(address, length);
  return address;
};
const burst = (capacity = 16) => ({
  address: new Int32Array(new ArrayBuffer(capacity * 4)),
  length: new Int32Array(new ArrayBuffer(capacity * 4)),
  more: new Uint8Array(new ArrayBuffer(capacity)),
  capacity,
});

describe("pool", () => {
  test("hands out every chunk once and then says no", () => {
    using umem = new Umem({ chunks: 8 });
    const taken = new Set<number>();
    for (let i = 0; i < 8; i++) taken.add(umem.take());
    expect(taken.size).toBe(8);
    for (const at of taken) expect(at % umem.chunkBytes).toBe(umem.headroomBytes);
    expect(umem.take()).toBe(-1);
    expect(umem.takeFailures).toBe(1);
    expect(umem.accounts()).toEqual({ pool: 0, fill: 0, lent: 8, kept: 0, tx: 0, total: 8 });
    for (const at of taken) umem.release(at);
    expect(umem.accounts()).toMatchObject({ pool: 8, total: 8 });
  });

  test("a second release, a keep of what is not lent and an address outside are refused by name", () => {
    using umem = new Umem({ chunks: 4 });
    const at = umem.take();
    umem.release(at);
    expect(() => umem.release(at)).toThrow(/cannot release the frame at \d+: it is in the pool/);
    expect(() => umem.keep(at)).toThrow(OwnerError);
    expect(() => umem.release(1 << 30)).toThrow(/outside the umem/);
    expect(() => umem.release(-5)).toThrow(/outside the umem/);
    expect(umem.accounts()).toMatchObject({ pool: 4, total: 4 });
  });

  test("keep and release are counted apart from lent", () => {
    using umem = new Umem({ chunks: 4 });
    const at = umem.take();
    umem.keep(at);
    expect(umem.accounts()).toMatchObject({ kept: 1, lent: 0, pool: 3 });
    umem.release(at);
    expect(umem.accounts()).toMatchObject({ kept: 0, pool: 4 });
  });

  test("after close views are dead, not dangling, and a late release is harmless", () => {
    const umem = new Umem({ chunks: 4 });
    const at = umem.take();
    const { bytes, view } = umem;
    umem.close();
    umem.close();
    expect(umem.open).toBe(false);
    expect(bytes.length).toBe(0);
    expect(() => view.getUint8(at)).toThrow(TypeError);
    expect(() => umem.release(at)).not.toThrow();
    expect(umem.take()).toBe(-1);
    expect(() => umem.keep(at)).toThrow(/closed/);
  });
});

describe("sizes", () => {
  test.each([
    [{ chunks: 0 }, RangeError],
    [{ chunks: 1.5 }, TypeError],
    [{ chunks: "8" }, TypeError],
    [{ chunks: 2 ** 21 }, RangeError],
    [{ chunks: 8, chunkBytes: 1024 }, RangeError],
    [{ chunks: 8, chunkBytes: 3000 }, RangeError],
    [{ chunks: 8, chunkBytes: 8192 }, RangeError],
    [{ chunks: 8, headroomBytes: -1 }, RangeError],
    [{ chunks: 8, headroomBytes: 2048 - 256 - 63 }, RangeError],
    [{ chunks: 8, hugePages: 1 }, TypeError],
  ])("%p is refused", (options, kind) => {
    expect(() => new Umem(options as never)).toThrow(kind as never);
  });

  test("a part of a page is rounded up, so that the kernel takes the area", () => {
    using umem = new Umem({ chunks: 3, chunkBytes: 2048 });
    expect(umem.chunkCount).toBe(4);
    expect(umem.bytes.length).toBe(8192);
  });
});

describe("what the kernel hands back", () => {
  test("honest frames go round: fill, lent, pool, fill", () => {
    const kernel = new FakeKernel();
    kernel.socket.flush();
    expect(kernel.umem.accounts()).toMatchObject({ fill: 16, pool: 48 });
    const at = moveFromFillToRx(kernel);
    const columns = burst();
    expect(kernel.socket.receive(columns)).toBe(1);
    expect(columns.address[0]).toBe(at);
    expect(kernel.umem.accounts()).toMatchObject({ fill: 15, lent: 1 });
    kernel.socket.settle(columns, 1);
    // Settled frames go straight back into the fill ring while it wants any.
    expect(kernel.umem.accounts()).toMatchObject({ fill: 16, lent: 0, pool: 48 });
  });

  test.each([
    ["outside the umem", 64 * 2048 + 256, 60, 0],
    ["negative", -4096, 60, 0],
    ["with a high half", 256, 60, 1],
    ["never given", 63 * 2048 + 256, 60, 0],
    ["too long for its chunk", 2048 + 256, 2048 - 255, 0],
    ["of no length", 2048 + 256, 0, 0],
    ["of a length above 2^31", 2048 + 256, -1, 0],
  ])("an rx address %s is counted and touches nothing", (_what, address, length, high) => {
    const kernel = new FakeKernel();
    kernel.socket.flush();
    while (kernel.takeFill() >= 0);
    kernel.deliver(address, length, 0, high);
    const columns = burst();
    expect(kernel.socket.receive(columns)).toBe(0);
    expect(kernel.umem.accounts()).toMatchObject({ fill: 16, pool: 48, total: 64 });
    expect(kernel.socket.statistics().rxForged).toBe(1);
    kernel.deliver(256 + 2048, 60);
    expect(kernel.socket.receive(columns)).toBe(1);
  });

  test("the same rx address twice is believed once", () => {
    const kernel = new FakeKernel();
    kernel.socket.flush();
    const at = moveFromFillToRx(kernel);
    kernel.deliver(at, 60);
    const columns = burst();
    expect(kernel.socket.receive(columns)).toBe(1);
    expect(kernel.socket.statistics().rxForged).toBe(1);
    kernel.umem.accounts();
  });

  test("a packet of several chunks with a forged one among them is dropped whole", () => {
    const kernel = new FakeKernel();
    kernel.socket.flush();
    const first = kernel.takeFill() + 256;
    const last = kernel.takeFill() + 256;
    kernel.deliver(first, 1792, 1);
    kernel.deliver(1 << 29, 1792, 1);
    kernel.deliver(last, 100, 0);
    const honest = moveFromFillToRx(kernel);
    const columns = burst();
    expect(kernel.socket.receive(columns)).toBe(1);
    expect(columns.address[0]).toBe(honest);
    expect(kernel.umem.accounts()).toMatchObject({ fill: 13, lent: 1, pool: 50, total: 64 });
  });

  test("a burst never ends in the middle of a packet", () => {
    const kernel = new FakeKernel();
    kernel.socket.flush();
    for (const options of [0, 1, 1, 0]) kernel.deliver(kernel.takeFill() + 256, 1000, options);
    const columns = burst(3);
    expect(kernel.socket.receive(columns)).toBe(1);
    kernel.socket.settle(columns, 1);
    expect(kernel.socket.receive(columns)).toBe(3);
    expect([...columns.more]).toEqual([1, 1, 0]);
  });

  test("completions: honest ones return to the pool, forged ones are counted", () => {
    const kernel = new FakeKernel();
    const at = kernel.umem.take();
    expect(kernel.socket.send(at, 60, false)).toBe(true);
    kernel.socket.flush();
    expect(kernel.takeTx()).toEqual({ address: at, length: 60, options: 0 });
    expect(kernel.umem.accounts()).toMatchObject({ tx: 1 });
    kernel.complete(0xdead0000 | 0);
    kernel.complete(at, 7);
    kernel.complete(at + 2048 * 5);
    kernel.complete(at);
    kernel.complete(at);
    kernel.socket.flush();
    expect(kernel.socket.statistics().completionForged).toBe(4);
    expect(kernel.umem.accounts()).toMatchObject({ tx: 0, lent: 0, total: 64 });
  });

  test("a full tx ring refuses, counts, and leaves the frame with its owner", () => {
    const kernel = new FakeKernel();
    for (let i = 0; i < 16; i++) expect(kernel.socket.send(kernel.umem.take(), 60, false)).toBe(true);
    const at = kernel.umem.take();
    expect(kernel.socket.send(at, 60, false)).toBe(false);
    expect(kernel.socket.reserve(1)).toBe(false);
    expect(kernel.socket.statistics().txFull).toBe(2);
    kernel.umem.release(at);
    expect(kernel.umem.accounts()).toMatchObject({ tx: 16, lent: 0 });
  });

  test("sending what is not ours, or bytes outside the chunk, is a bug with a name", () => {
    const kernel = new FakeKernel();
    const at = kernel.umem.take();
    expect(() => kernel.socket.send(at, 0, false)).toThrow(RangeError);
    expect(() => kernel.socket.send(at, 2048, false)).toThrow(/not inside one chunk/);
    kernel.umem.release(at);
    expect(() => kernel.socket.send(at, 60, false)).toThrow(/in the pool/);
    expect(() => kernel.socket.send(5 * 2 ** 29, 60, false)).toThrow(/outside/);
    expect(kernel.umem.accounts()).toMatchObject({ pool: 64, total: 64 });
  });

  test("a closed socket gives back what the kernel had, and then holds nothing and does nothing", () => {
    const kernel = new FakeKernel();
    kernel.socket.flush();
    kernel.socket.send(kernel.umem.take(), 60, false);
    kernel.socket.flush();
    const lease = kernel.umem.take();
    kernel.umem.keep(lease);
    kernel.socket.close();
    kernel.socket.close();
    expect(kernel.umem.accounts()).toEqual({ pool: 63, fill: 0, lent: 0, kept: 1, tx: 0, total: 64 });
    expect(kernel.socket.receive(burst())).toBe(0);
    expect(kernel.socket.send(lease, 60, false)).toBe(false);
    kernel.socket.flush();
    kernel.umem.release(lease);
    expect(kernel.umem.accounts()).toMatchObject({ pool: 64 });
  });
});
