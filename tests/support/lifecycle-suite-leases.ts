/** The part of the life cycle's tests that is about frames: what becomes of them when their device or their memory closes. */
import { expect, test } from "bun:test";
import { Loop, OwnerError, Transmitter, Umem, type XdpDevice } from "../../index.ts";
import type { Lease } from "../../stack/device/frame.ts";
import { skipPairs } from "./bed.ts";
import { programOn } from "./kernel-objects.ts";
import { little, type Lives, SMALL } from "./lives.ts";
import { numbered, settleAccounts, stream, turnUntil } from "./stream.ts";

/** A driver lets go within some grace periods, each a hundred times longer on an emulated processor. */
const DEPART_LIMIT_MS = 10_000;

/** Declares the tests; call it inside the suite. */
export const leaseTests = (lives: Lives): void => {
  const { bed, modes, open, lab } = lives;
  const LITTLE = little(bed);

  test.each(modes)(
    "$name: close inside a handler ends the burst, and no frame is lost",
    ({ attach: mode }) => {
      using umem = new Umem({ chunks: 256, ...bed.umem });
      const { chunks: _, ...options } = LITTLE;
      using a = open("a", mode);
      const b = lives.on(lab(), "b", { ...options, ...mode, umem });
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
      // A card's driver lets go in its own time; where there is none, nothing is waited for.
      expect(umem.awaitDeparted(DEPART_LIMIT_MS)).toBe(true);
      expect(umem.accounts()).toEqual({ pool: 255, fill: 0, lent: 0, kept: 1, tx: 0, total: 256 });
      settleAccounts(a);
      expect(programOn(lab(), "b", lab().b.name)).toBeUndefined();
    },
  );

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
    const [first, second, third, fourth] = lives.keepSome(a, b, 4) as [Lease, Lease, Lease, Lease];
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
    const [lease] = lives.keepSome(a, b, 1) as [Lease];
    settleAccounts(a);
    b.close();
    expect(() => lease.forward(a)).toThrow();
    expect(a.umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0 });
    lease[Symbol.dispose]();
  });

  test("leases of a shared umem outlive their device: the memory is there until the umem closes", () => {
    using umem = new Umem({ chunks: 256, ...bed.umem });
    const { chunks: _, ...options } = LITTLE;
    using a = open("a");
    const b = lives.on(lab(), "b", { ...options, umem });
    const leases = lives.keepSome(a, b, 8);
    b.close();
    // A card's driver lets go in its own time; where there is none, nothing is waited for.
    expect(umem.awaitDeparted(DEPART_LIMIT_MS)).toBe(true);
    expect(umem.accounts()).toEqual({ pool: 248, fill: 0, lent: 0, kept: 8, tx: 0, total: 256 });
    const [first] = leases as [Lease];
    expect(first.view.getUint32(first.at + 14)).toBe(0);
    expect(first.forward(a)).toBe(true);
    for (const lease of leases) lease[Symbol.dispose]();
    expect(umem.accounts()).toMatchObject({ pool: 256, kept: 0 });
    settleAccounts(a);
  });

  test.skipIf(skipPairs(bed, 2)).each(["first", "second"] as const)(
    "a shared umem of two devices, the %s closed before the other",
    (which) => {
      const pairs = lives.ground.lab({ quiet: true, pairs: 2 });
      const umem = new Umem({ chunks: 512, ...bed.umem });
      const { chunks: _, ...options } = LITTLE;
      const on = (pair: number): XdpDevice => lives.on(pairs, "b", { ...options, umem }, pair);
      const outside = (pair: number): XdpDevice => lives.on(pairs, "a", LITTLE, pair);
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
};
