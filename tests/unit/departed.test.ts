/** Closed sockets whose driver has not let go yet: their chunks are the kernel's until then, in the books and not in the pool. */
import { describe, expect, test } from "bun:test";
import { Departed, type LetGo } from "../../ffi/xsk/departed.ts";
import { FakeKernel } from "../support/fake-rings.ts";
import { until } from "../support/lab.ts";

/** A driver that lets go when the test says so. */
class FakeDriver implements LetGo {
  readonly name = '"fake0" queue 0';
  done = false;
  looks = 0;
  closed = 0;

  look(): boolean {
    this.looks += 1;
    return this.done;
  }

  close(): void {
    this.closed += 1;
  }
}

const CHUNKS = 64;
const SIZE = 16;

/** A bound socket with its fill ring full and four frames in transmission, of which the kernel has taken two. */
const busy = (zeroCopy: boolean): { kernel: FakeKernel; driver: FakeDriver } => {
  const kernel = new FakeKernel({ size: SIZE, chunks: CHUNKS });
  const driver = new FakeDriver();
  kernel.socket.bound(zeroCopy, () => driver);
  for (let i = 0; i < 4; i++) kernel.socket.send(kernel.umem.take(), 60, false);
  kernel.socket.flush();
  kernel.takeTx();
  kernel.takeTx();
  expect(kernel.umem.accounts()).toMatchObject({ fill: SIZE, tx: 4 });
  return { kernel, driver };
};

describe("a zero-copy socket is closed", () => {
  test("while its umem lives on: nothing of it is handed out before the driver has let go", () => {
    const { kernel, driver } = busy(true);
    const { umem } = kernel;
    kernel.socket.close();
    expect(umem.departing).toEqual([driver.name]);
    expect(umem.accounts()).toEqual({
      pool: CHUNKS - SIZE - 4,
      fill: SIZE,
      lent: 0,
      kept: 0,
      tx: 4,
      total: CHUNKS,
    });
    const taken = new Set<number>();
    for (let at = umem.take(); at >= 0; at = umem.take()) taken.add(at);
    expect(taken.size).toBe(CHUNKS - SIZE - 4);
    expect(umem.awaitDeparted(5)).toBe(false);
    driver.done = true;
    expect(umem.accounts()).toMatchObject({ pool: SIZE + 4, fill: 0, tx: 0, lent: taken.size });
    expect(umem.departing).toEqual([]);
    expect(driver.closed).toBe(1);
    for (let at = umem.take(); at >= 0; at = umem.take()) {
      expect(taken.has(at)).toBe(false);
      taken.add(at);
    }
    expect(taken.size).toBe(CHUNKS);
  });

  test("its chunks come back by themselves, without anybody asking", async () => {
    const { kernel, driver } = busy(true);
    kernel.socket.close();
    driver.done = true;
    await until("the pool to be whole", () => kernel.umem.available === CHUNKS);
  });

  test("with its umem: the memory ends at once, and nobody waits", () => {
    const { kernel, driver } = busy(true);
    kernel.umem.close();
    expect(kernel.umem.open).toBe(true);
    kernel.socket.close();
    expect(kernel.umem.open).toBe(false);
    expect([driver.looks, driver.closed]).toEqual([0, 0]);
  });

  test("and its umem after it, while the driver has not let go", () => {
    const { kernel, driver } = busy(true);
    kernel.socket.close();
    kernel.umem.close();
    expect(kernel.umem.open).toBe(false);
    expect([driver.closed, kernel.umem.departing.length]).toEqual([1, 0]);
    expect(kernel.umem.accounts().fill).toBe(0);
  });

  test("with nothing at the kernel: there is nothing to wait for", () => {
    const kernel = new FakeKernel({ size: SIZE, chunks: CHUNKS });
    kernel.socket.bound(true, () => {
      throw new Error("nobody needs this");
    });
    kernel.socket.close();
    expect(kernel.umem.accounts().pool).toBe(CHUNKS);
  });
});

describe("a socket in copy mode is closed", () => {
  test("with frames that the kernel has taken and not completed: only those wait, what was to be received into is free", () => {
    const { kernel, driver } = busy(false);
    kernel.socket.close();
    expect(kernel.umem.accounts()).toMatchObject({ fill: 0, tx: 4, pool: CHUNKS - 4 });
    driver.done = true;
    expect(kernel.umem.accounts()).toMatchObject({ tx: 0, pool: CHUNKS });
  });

  test("with frames that the kernel has not taken: they come back at once", () => {
    const kernel = new FakeKernel({ size: SIZE, chunks: CHUNKS });
    kernel.socket.bound(false, () => new FakeDriver());
    kernel.socket.send(kernel.umem.take(), 60, false);
    kernel.socket.flush();
    kernel.socket.close();
    expect(kernel.umem.accounts().pool).toBe(CHUNKS);
  });
});

test("where the driver never lets go it is asked less and less often, and the rest is not held up", async () => {
  const back: number[] = [];
  const departed = new Departed((slot) => void back.push(slot));
  const stuck = new FakeDriver();
  const quick = new FakeDriver();
  departed.add(1, stuck);
  departed.add(2, quick);
  quick.done = true;
  await until("the quick one", () => back.includes(2));
  await until("a few more looks", () => stuck.looks >= 4);
  expect(back).toEqual([2]);
  expect(departed.names).toEqual([stuck.name]);
  departed.close();
  expect(back).toEqual([2, 1]);
  expect(stuck.closed).toBe(1);
});
