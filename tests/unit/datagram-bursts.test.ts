/**
 * Datagrams that are pulled: whole bursts, given back in time, bounded while nobody asks, nothing lost at the end.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  createLink,
  type DatagramBursts,
  Host,
  type KeptDatagram,
  Loop,
  type MemoryDevice,
  seededRandom,
} from "../../stack/index.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

const PORT = 9000;
const OURS = "10.0.0.2";

let clock: VirtualClock;
let loop: Loop;
let near: MemoryDevice;
let far: MemoryDevice;
let sender: Host;
let receiver: Host;
const errors: unknown[] = [];

const turns = (count = 20): void => {
  for (let i = 0; i < count; i++) {
    clock.advance(1);
    loop.turn(clock.nowMs());
  }
};

const send = (...texts: string[]): void => {
  const socket = sender.udp({}, () => {});
  const to = socket.to(OURS, PORT);
  for (const text of texts) socket.send(to, new TextEncoder().encode(text));
  socket.close();
};

const textsOf = async (bursts: DatagramBursts): Promise<string[]> => {
  const { value } = await bursts.next();
  const burst: readonly KeptDatagram[] = value ?? [];
  return burst.map((datagram) => datagram.text());
};

beforeEach(() => {
  clock = new VirtualClock();
  errors.length = 0;
  loop = new Loop({ clock, waiter: new ManualWaiter(clock), onError: (error) => void errors.push(error) });
  [near, far] = createLink({ shared: true, chunkCount: 512, rxRing: 64, txRing: 64 });
  sender = new Host({ loop, random: seededRandom(1) });
  receiver = new Host({ loop, random: seededRandom(2) });
  sender.join(near, { addresses: ["10.0.0.1/24"], linkLocal: false });
  receiver.join(far, { addresses: [`${OURS}/24`], linkLocal: false });
});

afterEach(() => {
  sender.close();
  receiver.close();
  near.close();
  far.close();
  const { pool, total } = near.umem.accounts();
  expect({ pool, errors }).toEqual({ pool: total, errors: [] });
  loop.close();
});

describe("bursts of datagrams", () => {
  test("what came in one turn is one burst, in order", async () => {
    using bursts = receiver.datagrams(PORT);
    const asked = textsOf(bursts);
    send("one", "two", "three");
    turns();
    expect(await asked).toEqual(["one", "two", "three"]);
  });

  test("what came before anybody asked is the first burst", async () => {
    using bursts = receiver.datagrams(PORT);
    send("early");
    turns();
    expect(await textsOf(bursts)).toEqual(["early"]);
  });

  test("asking for the next gives back the last, which then says that it ended", async () => {
    using bursts = receiver.datagrams(PORT);
    send("first");
    turns();
    const [first] = (await bursts.next()).value!;
    expect(far.umem.accounts().kept).toBe(1);
    const second = bursts.next();
    expect(far.umem.accounts().kept).toBe(0);
    expect(() => first!.text()).toThrow(/released/);
    send("second");
    turns();
    expect((await second).value!.length).toBe(1);
  });

  test("a datagram of a burst can be replied to and released by the program", async () => {
    using bursts = receiver.datagrams(PORT);
    const answers: string[] = [];
    using asker = sender.udp({}, (datagram) => void answers.push(datagram.text()));
    const to = asker.to(OURS, PORT);
    asker.send(to, new TextEncoder().encode("ask"));
    asker.send(to, new TextEncoder().encode("hush"));
    turns();
    const [ask, hush] = (await bursts.next()).value!;
    expect(ask!.reply()).toBe(true);
    hush!.release();
    turns();
    expect(answers).toEqual(["ask"]);
  });

  test("more than may wait are dropped and counted", async () => {
    using bursts = receiver.datagrams(PORT, { limit: 2 });
    send("1", "2", "3", "4");
    turns();
    expect(bursts.dropped).toBe(2);
    expect(await textsOf(bursts)).toEqual(["1", "2"]);
  });

  test("leaving the loop over it closes the socket and gives everything back", async () => {
    const bursts = receiver.datagrams(PORT);
    send("a", "b");
    turns();
    for await (const burst of bursts) {
      expect(burst.length).toBe(2);
      break;
    }
    expect(bursts.socket.open).toBe(false);
    expect(far.umem.accounts().kept).toBe(0);
  });

  test("closing it ends one who waits", async () => {
    const bursts = receiver.datagrams(PORT);
    const waiting = bursts.next();
    bursts.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await bursts.next()).toEqual({ done: true, value: undefined });
  });

  test("two who wait at once are a mistake", async () => {
    using bursts = receiver.datagrams(PORT);
    const waiting = bursts.next();
    expect(() => bursts.next()).toThrow(TypeError);
    bursts.close();
    await waiting;
  });

  test.each([0, -1, 1.5, Number.NaN])("a limit of %p is refused", (limit) => {
    expect(() => receiver.datagrams(PORT, { limit })).toThrow(RangeError);
  });
});
