/**
 * Two cards on one umem: frames forwarded in place between two cables, one card closed under load while the other goes on.
 * What its driver still writes to after the close is nobody's until it has let go: no frame of the other is touched.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { Loop, Umem } from "../../../index.ts";
import { Transmitter } from "../../../stack/device/transmit.ts";
import { expectAllBack, LINK_LIMIT_MS, Station } from "../../support/bad-day.ts";
import { type Bed, cardBeds, skipBed, skipPairs } from "../../support/bed.ts";
import { Ground } from "../../support/ground.ts";
import { type Lab, until } from "../../support/lab.ts";
import { checkNumbered, numbered, settleAccounts, turnUntil } from "../../support/stream.ts";

const TEST_MS = 240_000;
const CHUNKS = 1024;
const ROUNDS = 5;
/** Frames kept back by the device that goes on, each with its own content; more than the chunks that the other gives back. */
const HELD = 256;
const LENGTH_BYTES = 1000;
/** The emulated cards' rings have 256 entries. */
const MORE_THAN_A_RING = 600;

/** Devices m1 and m2 on one umem; `a` sends into the one, the other end `z` gets what is forwarded. */
interface Bridge {
  readonly loop: Loop;
  readonly lab: Lab;
  readonly umem: Umem;
  readonly a: Station;
  readonly z: Station;
  readonly join: (pair: 0 | 1) => Station;
}

const bridged = async (bed: Bed, ground: Ground, act: (bridge: Bridge) => Promise<void>): Promise<void> => {
  const lab = ground.freshLab({ quiet: true, pairs: 2 });
  const errors: unknown[] = [];
  const loop = new Loop({ onError: (error) => void errors.push(error) });
  const umem = new Umem({ chunks: CHUNKS, ...bed.umem });
  const stations: Station[] = [];
  const open = (pair: 0 | 1, side: "a" | "b", shared?: Umem): Station => {
    const end = lab.pairs[pair]![side];
    const station = new Station(loop, {
      interface: end.name,
      namespace: end.namespace,
      bed,
      ...(shared === undefined ? {} : { umem: shared }),
    });
    stations.push(station);
    return station;
  };
  try {
    const a = open(0, "a");
    const z = open(1, "a").listen();
    await act({ loop, lab, umem, a, z, join: (pair) => open(pair, "b", umem) });
    expect(errors).toEqual([]);
  } finally {
    loop.close();
    for (const station of stations) station.close();
  }
  for (const station of stations) {
    await expectAllBack(station.umem);
    station.expectHonest();
  }
  for (const station of stations) station.umem.close();
};

const suite = (bed: Bed): void => {
  const ground = new Ground(bed);
  afterAll(() => ground.close());

  test(
    "frames are forwarded in place, and stop and go on with the device that they leave by",
    () =>
      bridged(bed, ground, async ({ loop, umem, a, z, join }) => {
        const into = join(0);
        let out = join(1);
        let moved = 0;
        let refused = 0;
        let open = true;
        loop.receive(into.device, (frame) => {
          const { at } = frame;
          if (!open || !frame.forward(out.device)) refused += 1;
          else if (umem.owners[at >>> umem.shift] !== 0) moved += 1;
        });
        a.load();
        void loop.run();
        for (let round = 0; round < ROUNDS; round++) {
          await z.traffic(`in round ${round}`);
          open = false;
          out.close();
          // The one that goes on has the pool to itself, but for what the closed one's driver may still hold.
          const before = refused;
          await until("frames that nobody takes", () => refused > before + HELD, LINK_LIMIT_MS);
          const { pool, fill, lent, kept, tx, total } = umem.accounts();
          expect(pool + fill + lent + kept + tx).toBe(total);
          out = join(1);
          open = true;
        }
        await z.traffic("at last");
        expect(moved).toBeGreaterThan(0);
      }),
    TEST_MS,
  );

  test(
    "a device is closed under load: what the other keeps in the same memory stays as it is",
    () =>
      bridged(bed, ground, async ({ loop, umem, a, z, join }) => {
        const stays = join(1);
        a.load();
        for (let round = 0; round < ROUNDS; round++) {
          const leaves = join(0).listen();
          const running = loop.run();
          await leaves.traffic(`in round ${round}`);
          loop.stop();
          await running;
          leaves.close();
          expect(umem.departing.length).toBe(1);
          // Every chunk that can be had, filled, while the peer goes on sending to the card that was closed.
          const held: number[] = [];
          const fillPool = (): void => {
            for (let at = umem.take(); at >= 0; at = umem.take()) {
              umem.keep(at);
              umem.bytes.set(numbered(at, LENGTH_BYTES), at);
              held.push(at);
            }
          };
          const expectUntouched = (): void => {
            for (const at of held) checkNumbered(umem.bytes.slice(at, at + LENGTH_BYTES), at, LENGTH_BYTES);
          };
          turnUntil(
            loop,
            "the driver to let go",
            () => {
              fillPool();
              expectUntouched();
              return umem.awaitDeparted();
            },
            LINK_LIMIT_MS,
          );
          fillPool();
          const { sent } = a;
          turnUntil(
            loop,
            "more frames to the card that was closed than its ring holds",
            () => {
              expectUntouched();
              return a.sent > sent + MORE_THAN_A_RING;
            },
            LINK_LIMIT_MS,
          );
          const { fill, kept, total } = umem.accounts();
          expect(kept).toBe(held.length);
          expect(kept + fill).toBe(total);
          for (const at of held) umem.release(at);
        }
        // The one that stayed still works.
        const sender = new Transmitter(stays.device.queues[0]!);
        const before = z.received;
        turnUntil(
          loop,
          "a frame of the one that stayed",
          () => {
            sender.sendBytes(numbered(1, 200));
            return z.received > before;
          },
          LINK_LIMIT_MS,
        );
        loop.remove(stays.device);
        settleAccounts(stays.device);
      }),
    TEST_MS,
  );

  test(
    "a closed device's chunks come back also where another umem's socket has the queue at once",
    () =>
      bridged(bed, ground, async ({ lab, umem, join }) => {
        const first = join(0);
        first.close();
        expect(umem.departing.length).toBe(1);
        // This process can know: its bind proves that the old socket's pool has gone.
        const end = lab.pairs[0]!.b;
        using loop = new Loop();
        const second = new Station(loop, { interface: end.name, namespace: end.namespace, bed });
        await expectAllBack(umem);
        second.close();
        await expectAllBack(second.umem);
        second.umem.close();
      }),
    TEST_MS,
  );
};

for (const bed of cardBeds()) describe.skipIf(skipBed(bed) || skipPairs(bed, 2))(bed.name, () => suite(bed));
