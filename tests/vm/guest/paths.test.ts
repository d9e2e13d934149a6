/**
 * A host of three real cards, two of virtio-net and one igb, zero-copy forced: a cable is pulled out of our card or of the other
 * one, a driver is taken off and given back, and the conversation goes on over the cards that are left.
 */
import { describe, expect, test } from "bun:test";
import { cardBeds, CABLES_VARIABLE, parseCables, skipBed } from "../../support/bed.ts";
import { command } from "../../support/bad-day.ts";
import { CardPaths, PATIENCE_MS, type PathCable, spell, type Watcher } from "../../support/card-paths.ts";
import { type Card, cardNamed, raise, rebind } from "../../support/cards.ts";
import { until } from "../../support/lab.ts";
import { monitor, monitorUnavailable } from "../../support/monitor.ts";
import { skipUnless } from "../../support/skip.ts";

const TEST_MS = 300_000;

const [virtio, igb] = cardBeds();
const skip = [virtio!, igb!].some((bed) => skipBed(bed));
const noMonitor = skipUnless(monitorUnavailable() === undefined, monitorUnavailable() ?? "", {
  couldRun: false,
});

/** The cables, those of virtio-net first. */
const cables = (): readonly [PathCable, PathCable, PathCable] => {
  const all = parseCables(process.env[CABLES_VARIABLE] ?? "").map(({ a, b }) => ({
    bed: cardNamed(a).driver.endsWith("igb") ? igb! : virtio!,
    near: a,
    far: b,
  }));
  const [left, right] = all.filter(({ bed }) => bed === virtio);
  return [left!, right!, all.find(({ bed }) => bed === igb)!];
};

/** Pulls the cable out of a card, or puts it back. */
const plug = (card: string, inside: boolean): void =>
  void monitor(`set_link ${card} ${inside ? "on" : "off"}`);

/** What a card says of itself: that it has no carrier, or, before that, that it completes nothing. */
const OWN_SIGNS: readonly string[] = ["link", "stalled"];
/** A driver that goes takes the carrier along first. */
const LAST_SIGNS: readonly string[] = [...OWN_SIGNS, "gone"];

/** The first change says why a path died, the last that it lives, and a trial was in between. */
const expectRevival = (paths: CardPaths, i: number, from: number, reasons: readonly string[]): void => {
  const changes = paths.near.changes(i, from);
  console.log(`${paths.cables[i]!.near}: ${changes.map(spell).join(", ")}`);
  expect(changes[0]!.state).toBe("down");
  expect(reasons).toContain(changes[0]!.reason);
  expect(changes.slice(-2).map(spell)).toEqual([expect.stringMatching(/^verifying: /), "up: verified"]);
};

/** Pulls the near cards of cables in turn, and puts all back: each time the conversation finds the best that is left. */
const pullInTurn = async (paths: CardPaths, order: readonly number[]): Promise<void> => {
  const from = paths.near.events.length;
  for (const i of order) {
    plug(paths.cables[i]!.near, false);
    await paths.over(i + 1);
    expect(paths.near.path(i)!.state).toBe("down");
    expect(OWN_SIGNS).toContain(paths.near.path(i)!.reason);
    expect(paths.near.ports[i]!.device.open).toBe(true);
  }
  for (const i of order.toReversed()) {
    plug(paths.cables[i]!.near, true);
    await paths.near.state(i, "up");
    await paths.over(i);
    expectRevival(paths, i, from, OWN_SIGNS);
    expect(paths.near.path(i)!.statistics().downs).toBeGreaterThanOrEqual(1);
  }
};

const putBack = (): void => {
  for (const { near, far } of cables()) for (const card of [near, far]) plug(card, true);
};

describe.skipIf(skip || noMonitor)("cables are pulled", () => {
  const orders: readonly (readonly [string, () => readonly PathCable[]])[] = [
    ["virtio-net, virtio-net, igb", () => cables()],
    [
      "igb, virtio-net, virtio-net",
      () => {
        const [left, right, other] = cables();
        return [other, left, right];
      },
    ],
  ];
  test.each(orders)(
    "out of our own cards, one after the other: %s",
    async (_name, inOrder) => {
      try {
        await CardPaths.play(inOrder(), "bfd", (paths) => pullInTurn(paths, [0, 1]));
      } finally {
        putBack();
      }
    },
    TEST_MS,
  );

  test.each<Watcher>(["bfd", "neighbour"])(
    "out of the other end's card, which ours cannot see: %s says so",
    async (watcher) => {
      try {
        await CardPaths.play(cables(), watcher, async (paths) => {
          const from = paths.near.events.length;
          const [{ far }] = cables();
          plug(far, false);
          await paths.over(1);
          expect(paths.near.path(0)!.state).toBe("down");
          plug(far, true);
          await paths.near.state(0, "up");
          await paths.over(0);
          expectRevival(paths, 0, from, [watcher]);
        });
      } finally {
        putBack();
      }
    },
    TEST_MS,
  );
});

/** Takes the driver off a card while this process's loop goes on, as an operator or a hot plug does. */
const takeOff = async ({ driver, device }: Card): Promise<void> =>
  expect(await command(["sh", "-c", `echo ${device} > ${driver}/unbind`])).toEqual({ code: 0, stderr: "" });

describe.skipIf(skip)("a driver is taken off our card", () => {
  test.each(["virtio-net", "igb"] as const)(
    "%s: the path is gone, and its like comes back on trial",
    async (kind) => {
      const [left, right, other] = cables();
      const order = kind === "igb" ? [other, left, right] : [left, right, other];
      const card = cardNamed(order[0]!.near);
      try {
        await CardPaths.play(order, "bfd", async (paths) => {
          const { near } = paths;
          const from = near.events.length;
          const first = near.path(0)!;
          await takeOff(card);
          await paths.over(1);
          await until("the interface to have left", () => near.path(0) === undefined, PATIENCE_MS);
          expect([first.live, first.state]).toEqual([false, "down"]);
          const [death] = near.changes(0, from);
          expect(LAST_SIGNS).toContain(death!.reason);
          const links = near.events
            .slice(from)
            .flatMap((event) =>
              event.kind === "link" && event.name === card.name ? [event.change.kind] : [],
            );
          expect(links.at(-1)).toBe("gone");
          await near.settle(0);
          rebind(card);
          await raise(card.name);
          near.plug(0);
          await near.state(0, "up");
          await paths.over(0);
          expect(near.path(0)).not.toBe(first);
          expectRevival(paths, 0, from, LAST_SIGNS);
        });
      } finally {
        rebind(card);
      }
    },
    TEST_MS,
  );
});
