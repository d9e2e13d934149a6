/** A kernel that lies: forged entries, whole rings of them, random words anywhere. Nothing throws, nothing hangs, the books agree. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createBurst } from "../../stack/device/frame.ts";
import { FakeKernel, type FakeRing } from "../support/fake-rings.ts";

const SIZE = 16;
const CHUNKS = 64;
const CHUNK_BYTES = 2048;
const CONTD = 1;
const BEFORE_WRAP = 0xfffffff0;

const expectWhole = (kernel: FakeKernel): void => {
  expect(kernel.umem.accounts().total).toBe(CHUNKS);
};

/** What a program does with a burst: every third frame is sent on, every fifth kept and released, the others are dropped. */
const serve = (kernel: FakeKernel): number => {
  const { socket, umem } = kernel;
  const burst = createBurst(SIZE);
  const count = socket.receive(burst);
  for (let i = 0; i < count; i++) {
    const at = burst.address[i]!;
    if (i % 3 === 0) socket.send(at, burst.length[i]!, false);
    else if (i % 5 === 0) {
      umem.keep(at);
      umem.release(at);
    }
  }
  socket.settle(burst, count);
  socket.flush();
  return count;
};

/** Everything that is still at the kernel comes back honestly, and the socket works as if nothing had happened. */
const expectWorks = (kernel: FakeKernel): void => {
  const { socket, umem } = kernel;
  const before = socket.statistics().rxPackets;
  socket.flush();
  const address = kernel.takeFill();
  expect(address).toBeGreaterThanOrEqual(0);
  kernel.deliver(address + umem.headroomBytes, 60);
  expect(serve(kernel)).toBe(1);
  expect(socket.statistics().rxPackets).toBe(before + 1);
  for (let sent = kernel.takeTx(); sent !== undefined; sent = kernel.takeTx()) kernel.complete(sent.address);
  socket.flush();
  expect(umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0, total: CHUNKS });
};

describe.each([0, BEFORE_WRAP])("rings that start at %p", (start) => {
  const make = (): FakeKernel => {
    const kernel = new FakeKernel({ size: SIZE, chunks: CHUNKS, start });
    kernel.socket.flush();
    return kernel;
  };

  test("a flood of forged rx descriptors is counted, every one", () => {
    const kernel = make();
    const lies: readonly (readonly [number, number, number, number])[] = [
      [-1, 60, 0, 0],
      [CHUNKS * CHUNK_BYTES, 60, 0, 0],
      [0x7fffffff, 60, 0, 0],
      [-0x80000000, 60, 0, 0],
      [256, 60, 0, 1],
      [256, 60, 0, -1],
      [256, 0, 0, 0],
      [256, -1, 0, 0],
      [256, CHUNK_BYTES - 255, 0, 0],
      [(CHUNKS - 1) * CHUNK_BYTES + 256, 60, 0, 0],
      [CHUNK_BYTES - 1, 0x7fffffff, 0, 0],
    ];
    const rounds = 1000;
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < SIZE; i++) {
        const [address, length, options, high] = lies[(round + i) % lies.length]!;
        kernel.deliver(address, length, options, high);
      }
      expect(serve(kernel)).toBe(0);
    }
    expect(kernel.socket.statistics()).toMatchObject({ rxForged: rounds * SIZE, rxPackets: 0, rxBytes: 0 });
    expect(kernel.umem.accounts()).toMatchObject({ fill: SIZE, pool: CHUNKS - SIZE });
    expectWorks(kernel);
  });

  test("a flood of one address, honest once", () => {
    const kernel = make();
    const address = kernel.takeFill() + 256;
    for (let i = 0; i < SIZE; i++) kernel.deliver(address, 60);
    const burst = createBurst(SIZE);
    expect(kernel.socket.receive(burst)).toBe(1);
    kernel.socket.settle(burst, 1);
    expect(kernel.socket.statistics().rxForged).toBe(SIZE - 1);
    expectWhole(kernel);
    kernel.socket.flush();
    expectWorks(kernel);
  });

  test("a flood of forged completions is counted, every one, and none reaches the pool", () => {
    const kernel = make();
    const at = kernel.umem.take();
    kernel.socket.send(at, 60, false);
    const before = kernel.umem.available;
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < SIZE; i++) kernel.complete((i * 977 * CHUNK_BYTES) | 0, i % 2);
      // Addresses of the fill ring, of the pool and of frames lent are as forged as those from outside.
      kernel.socket.flush();
      expectWhole(kernel);
    }
    const { completionForged } = kernel.socket.statistics();
    const honest = kernel.umem.available - before;
    expect(completionForged).toBe(100 * SIZE - honest);
    expect(honest).toBeLessThanOrEqual(1);
  });

  test("packets that never end: the burst stays bounded, and the next honest packet comes", () => {
    const kernel = make();
    for (let i = 0; i < SIZE; i++) kernel.deliver(kernel.takeFill() + 256, 1792, CONTD);
    let turns = 0;
    while (serve(kernel) > 0) expect((turns += 1)).toBeLessThanOrEqual(SIZE);
    expectWhole(kernel);
    for (let sent = kernel.takeTx(); sent !== undefined; sent = kernel.takeTx())
      kernel.complete(sent.address);
    expectWorks(kernel);
  });

  test("a whole ring of forged middles: the packets they are in are dropped whole", () => {
    const kernel = make();
    for (let i = 0; i < SIZE; i++) {
      const forged = i % 4 === 1;
      const last = i % 4 === 3;
      kernel.deliver(forged ? 1 << 30 : kernel.takeFill() + 256, 1792, last ? 0 : CONTD);
    }
    expect(serve(kernel)).toBe(0);
    expect(kernel.socket.statistics()).toMatchObject({ rxForged: SIZE / 4, rxPackets: 0, rxBytes: 0 });
    expectWhole(kernel);
    expectWorks(kernel);
  });

  test.each(["rx", "completion", "fill", "tx"] as const)("impossible indices in the %s ring", (name) => {
    for (const offset of [SIZE + 1, 2 ** 31, 2 ** 32 - 1]) {
      for (const index of ["producer", "consumer"] as const) {
        const kernel = make();
        const ring = kernel[name];
        ring[index] = (ring[index] + offset) >>> 0;
        for (let i = 0; i < 4; i++) {
          serve(kernel);
          const at = kernel.umem.take();
          if (at >= 0 && !kernel.socket.send(at, 60, false)) kernel.umem.release(at);
        }
        expectWhole(kernel);
        kernel.socket.close();
        expect(kernel.umem.accounts()).toEqual({
          pool: CHUNKS,
          fill: 0,
          lent: 0,
          kept: 0,
          tx: 0,
          total: CHUNKS,
        });
      }
    }
  });
});

const RINGS = ["rx", "tx", "fill", "completion"] as const;

/** One thing that a lying kernel or an honest program does. */
const step = fc.oneof(
  // Any word of any ring becomes anything: indices, flags and entries alike.
  fc.record({
    kind: fc.constant("poke" as const),
    ring: fc.constantFrom(...RINGS),
    at: fc.nat(200),
    word: fc.oneof(fc.integer(), fc.nat(CHUNKS * CHUNK_BYTES)),
  }),
  // Plausible lies hit more often than random ones: addresses of real chunks in a ring that is moved on.
  fc.record({
    kind: fc.constant("deliver" as const),
    chunk: fc.nat(CHUNKS),
    offset: fc.constantFrom(0, 256, 2047),
    length: fc.constantFrom(0, 1, 60, 1792, 2048, -1),
    options: fc.constantFrom(0, 0, 0, CONTD, 0xffff),
  }),
  fc.record({
    kind: fc.constant("complete" as const),
    chunk: fc.nat(CHUNKS),
    high: fc.constantFrom(0, 0, 1),
  }),
  fc.constantFrom(
    { kind: "serve" as const },
    { kind: "send" as const },
    { kind: "keep" as const },
    { kind: "honest" as const },
  ),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const poke = (ring: FakeRing, at: number, word: number): void => {
  ring.words[at % ring.words.length] = word;
};

const take = (kernel: FakeKernel, one: Step, kept: number[]): void => {
  const { umem, socket } = kernel;
  if (one.kind === "poke") poke(kernel[one.ring], one.at, one.word);
  else if (one.kind === "deliver")
    kernel.deliver(one.chunk * CHUNK_BYTES + one.offset, one.length, one.options);
  else if (one.kind === "complete") kernel.complete(one.chunk * CHUNK_BYTES + 256, one.high);
  else if (one.kind === "serve") serve(kernel);
  else if (one.kind === "honest") {
    const address = kernel.takeFill();
    if (address >= 0) kernel.deliver(address + umem.headroomBytes, 60);
    const sent = kernel.takeTx();
    if (sent !== undefined) kernel.complete(sent.address);
  } else {
    const at = umem.take();
    if (at < 0) return;
    if (one.kind === "keep") {
      umem.keep(at);
      kept.push(at);
    } else if (!socket.send(at, 60, false)) umem.release(at);
  }
};

test("random words in all four rings: an honest program never sees an error, and every chunk is somewhere", () => {
  const run = (start: number, steps: readonly Step[]): void => {
    const kernel = new FakeKernel({ size: SIZE, chunks: CHUNKS, start });
    const kept: number[] = [];
    kernel.socket.flush();
    for (const one of steps) {
      take(kernel, one, kept);
      // Throws by itself where an owner byte and a ring's own count disagree.
      if (kernel.umem.accounts().total !== CHUNKS) throw new Error("a chunk is missing");
    }
    for (const at of kept) kernel.umem.release(at);
    kernel.socket.close();
    expect(kernel.umem.accounts()).toEqual({ pool: CHUNKS, fill: 0, lent: 0, kept: 0, tx: 0, total: CHUNKS });
    kernel.umem.close();
  };
  fc.assert(
    fc.property(
      fc.constantFrom(0, BEFORE_WRAP, 0xffffffff),
      fc.array(step, { minLength: 10, maxLength: 80 }),
      run,
    ),
    { numRuns: 1500 },
  );
}, 30_000);
