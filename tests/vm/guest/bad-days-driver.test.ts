/**
 * The driver is taken off a card under open zero-copy sockets and traffic, and put back: the device says that it has gone,
 * its close is clean, every chunk comes back, and the reborn interface can be attached to.
 */
import { describe, expect, test } from "bun:test";
import { Loop } from "../../../index.ts";
import { command, expectAllBack, Station } from "../../support/bad-day.ts";
import { type Bed, cardBeds, CABLES_VARIABLE, parseCables, skipBed } from "../../support/bed.ts";
import { type Card, cardNamed, raise, rebind, unbind } from "../../support/cards.ts";
import { resources } from "../../support/resources.ts";
import { until } from "../../support/lab.ts";

const TEST_MS = 240_000;
const ROUNDS = 3;
/** Over which a loop without a device must not spin; with timers each millisecond it takes a few turns in one. */
const REST_MS = 300;
const MAX_RESTING_TURNS = 10 * REST_MS;

/** In this process's own namespace: that is where a reborn interface appears. */
const cardsOf = (bed: Bed): readonly [Card, Card] => {
  const found = parseCables(process.env[CABLES_VARIABLE] ?? "")
    .map(({ a, b }) => [cardNamed(a), cardNamed(b)] as const)
    .find(([a]) => bed.name.startsWith(a.driver.endsWith("igb") ? "igb" : "virtio"));
  if (found === undefined) throw new Error(`no cable for ${bed.name}`);
  return found;
};

const oneRound = async (bed: Bed, a: Card, b: Card): Promise<void> => {
  await raise(a.name, b.name);
  const errors: unknown[] = [];
  const loop = new Loop({ onError: (error) => void errors.push(error) });
  const stations: Station[] = [];
  const open = (card: Card): Station => {
    const station = new Station(loop, { interface: card.name, bed });
    stations.push(station);
    return station.listen().load();
  };
  try {
    const left = open(a);
    const right = open(b);
    void loop.run();
    await Promise.all([left.traffic("at first"), right.traffic("at first")]);
    // In a process of its own, so that frames go on while the driver is taken off.
    expect(await command(["sh", "-c", `echo ${b.device} > ${b.driver}/unbind`])).toEqual({
      code: 0,
      stderr: "",
    });
    expect((await right.told("gone")).reason).toContain("deleted");
    expect(right.device.open).toBe(false);
    expect(right.device.takeLinkEvent()).toBeUndefined();
    expect(right.events.filter(({ kind }) => kind === "gone").length).toBe(1);
    await until("the dead to leave the loop", () => loop.statistics().devices === 1);
    // Whoever still holds the queue may ask it: it says no more, and it does not throw.
    right.device.queues[0]!.flush();
    right.close();
    left.close();
    const { turns } = loop.statistics();
    await Bun.sleep(REST_MS);
    expect(loop.statistics().turns - turns).toBeLessThan(MAX_RESTING_TURNS);
    expect(errors).toEqual([]);
  } finally {
    loop.close();
    for (const station of stations) station.close();
    rebind(b);
  }
  for (const station of stations) {
    await expectAllBack(station.umem);
    station.umem.close();
    station.expectHonest();
  }
};

for (const bed of cardBeds()) {
  describe.skipIf(skipBed(bed))(bed.name, () => {
    test(
      `unbind and bind of the driver under load, ${ROUNDS} times`,
      async () => {
        const [a, b] = cardsOf(bed);
        const before = resources();
        for (let round = 0; round < ROUNDS; round++) await oneRound(bed, a, b);
        expect(resources()).toEqual(before);
      },
      TEST_MS,
    );

    test(
      "unbind right after a close on a umem that lives on: its chunks come back",
      async () => {
        const [a, b] = cardsOf(bed);
        await raise(a.name, b.name);
        using loop = new Loop();
        const right = new Station(loop, { interface: b.name, bed });
        try {
          right.close();
          expect(right.umem.departing).toEqual([`"${b.name}" queue 0`]);
          unbind(b);
          await expectAllBack(right.umem);
        } finally {
          right.close();
          rebind(b);
        }
        right.umem.close();
      },
      TEST_MS,
    );
  });
}
