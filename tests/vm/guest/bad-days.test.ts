/**
 * Bad days of a card with zero-copy sockets under load: its link goes, its cable is pulled, its MTU and its queues change.
 * Completions may stop; nothing waits for ever, every chunk is accounted for, and traffic flows again afterwards.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { type Day, LINK_LIMIT_MS, live, RINGS } from "../../support/bad-day.ts";
import { type Bed, cardBeds, skipBed } from "../../support/bed.ts";
import { Ground } from "../../support/ground.ts";
import { until } from "../../support/lab.ts";
import { monitor, monitorUnavailable } from "../../support/monitor.ts";
import { skipUnless } from "../../support/skip.ts";

const TEST_MS = 240_000;
const ROUNDS = 3;
/** A quarter of the emulated cards' rings, and enough frames to go round them several times. */
const SCARCE = 64;
const SCARCE_FRAMES = 1500;

const bothWays = async ({ a, b }: Day, what: string): Promise<void> => {
  await Promise.all([a.traffic(what), b.traffic(what)]);
};

/** Waits until the tx ring is full and stays full: nothing leaves any more. */
const fullRing = async (day: Day, side: "a" | "b"): Promise<void> => {
  const station = day[side];
  const { tx } = station.umem.accounts();
  expect(tx).toBeLessThanOrEqual(2 * RINGS.tx);
  const { txFull } = station.device.statistics();
  await until(
    "sends to be refused",
    () => station.device.statistics().txFull > txFull || station.umem.available === 0,
    LINK_LIMIT_MS,
  );
};

const suite = (bed: Bed): void => {
  const ground = new Ground(bed);
  afterAll(() => ground.close());
  const day = (act: (day: Day) => Promise<void>): Promise<void> => live(bed, ground.freshLab(), act);

  test.each([
    ["own", "b"],
    ["other", "a"],
  ] as const)(
    "ip link set down and up, of the %s end, under load",
    (_whose, side) =>
      day(async (now) => {
        const station = now[side];
        for (let round = 0; round < ROUNDS; round++) {
          station.events.length = 0;
          const { name } = station.device;
          expect(await now.at(side, "ip", "link", "set", "dev", name, "down")).toEqual({
            code: 0,
            stderr: "",
          });
          await station.told("down");
          const dead = station.received;
          expect(await now.at(side, "ip", "link", "set", "dev", name, "up")).toEqual({ code: 0, stderr: "" });
          await station.told("up");
          await bothWays(now, `after down and up of ${side} (${dead} before)`);
        }
      }),
    TEST_MS,
  );

  test(
    "closed while down with a full tx ring",
    () =>
      day(async (now) => {
        expect((await now.at("b", "ip", "link", "set", "dev", now.b.device.name, "down")).code).toBe(0);
        await now.b.told("down");
        await fullRing(now, "b");
      }),
    TEST_MS,
  );

  const noMonitor = monitorUnavailable();
  test.skipIf(skipUnless(noMonitor === undefined, noMonitor ?? "", { couldRun: false })).each([
    ["own", "b"],
    ["other", "a"],
  ] as const)(
    "the cable is pulled out of the %s end under load, and put back",
    (_whose, side) =>
      day(async (now) => {
        const { name } = now[side].device;
        try {
          for (let round = 0; round < ROUNDS; round++) {
            now[side].events.length = 0;
            monitor(`set_link ${name} off`);
            await now[side].told("down");
            expect(now[side].device.open).toBe(true);
            monitor(`set_link ${name} on`);
            await now[side].told("up");
            await bothWays(now, `after the cable of ${side} was put back`);
          }
        } finally {
          monitor(`set_link ${name} on`);
        }
      }),
    TEST_MS,
  );

  test.skipIf(noMonitor !== undefined)(
    "closed with the cable out, and attached to again when it is back",
    async () => {
      const lab = ground.freshLab();
      const { name } = lab.b;
      try {
        await live(bed, lab, async (now) => {
          monitor(`set_link ${name} off`);
          await now.b.told("down");
          // Some frames more, which a card without a link may keep for as long as it likes.
          const { sent } = now.b;
          await until(
            "more frames, or a full ring",
            () => now.b.sent > sent + RINGS.tx || now.b.device.statistics().txFull > 0,
            LINK_LIMIT_MS,
          );
        });
      } finally {
        monitor(`set_link ${name} on`);
      }
      await live(bed, lab, async () => {});
    },
    TEST_MS,
  );

  test(
    "the MTU changes under open sockets: an event, or a refusal of the driver, and traffic goes on",
    () =>
      day(async (now) => {
        const { name } = now.b.device;
        for (const mtu of [1400, 1000, 1500, 9000]) {
          const { mtu: before } = now.b.device;
          const { code, stderr } = await now.at("b", "ip", "link", "set", "dev", name, "mtu", String(mtu));
          if (code === 0) {
            const { device } = now.b;
            await until(`the MTU ${mtu} to be told`, () => device.mtu === mtu, LINK_LIMIT_MS);
          } else {
            console.log(`${bed.name}: MTU ${mtu} is refused: ${stderr}`);
            expect(now.b.device.mtu).toBe(before);
            expect(mtu).toBeGreaterThan(1500);
          }
          await bothWays(now, `with MTU ${mtu}`);
        }
      }),
    TEST_MS,
  );

  test(
    "the number of queues changes under an open socket: a refusal of the kernel, or traffic goes on",
    () =>
      day(async (now) => {
        const { name } = now.b.device;
        const most = bed.mostQueues();
        for (const count of [most, 1, most]) {
          const { code, stderr } = await now.at("b", "ethtool", "-L", name, "combined", String(count));
          console.log(`${bed.name}: combined ${count}: ${code === 0 ? "done" : stderr}`);
          expect(code === 0 || stderr !== "").toBe(true);
          expect(now.b.device.open).toBe(true);
          if (code === 0) {
            // More queues: the card may give frames to others than the one that is served.
            await now.at("b", "ethtool", "-X", name, "equal", "1");
          }
          await now.a.traffic(`with ${count} queues asked for`);
        }
      }),
    TEST_MS,
  );

  test(
    "a queue that has a socket is not taken away: the kernel refuses, and says why",
    () => {
      const lab = ground.freshLab({ quiet: true, queues: 2 });
      using device = ground.open("b", { queues: [0, 1] }, lab);
      const { code, stderr } = lab.exec("b", ["ethtool", "-L", device.name, "combined", "1"], {
        check: false,
      });
      console.log(`${bed.name}: one of two queues in use: ${stderr.trim()}`);
      expect(code).not.toBe(0);
      expect(stderr.trim()).not.toBe("");
      for (const queue of device.queues) queue.flush();
      expect(device.open).toBe(true);
      expect(device.takeLinkEvent()?.kind).not.toBe("stalled");
    },
    TEST_MS,
  );

  test(
    "fewer chunks than the card's own ring has room for: frames are lost, no chunk is",
    () =>
      live(
        bed,
        ground.freshLab(),
        async ({ a, b }) => {
          const { received } = b;
          await until("a few hundred frames", () => b.received > received + SCARCE_FRAMES, LINK_LIMIT_MS);
          await a.traffic("in the other direction");
        },
        { attach: { rings: { rx: SCARCE, tx: SCARCE, fill: SCARCE, completion: SCARCE } } },
      ),
    TEST_MS,
  );
};

for (const bed of cardBeds()) describe.skipIf(skipBed(bed))(bed.name, () => suite(bed));
