/** Pings of a host: who decides which are answered, and what becomes of requests that find nobody. */
import { expect, test } from "bun:test";
import type { Packet } from "../../stack/transport/packet.ts";
import { createLink, type EchoReply, Host, Loop, seededRandom } from "../../stack/index.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

/** Two hosts on one link; the second answers as it is told. */
const pair = (echo: boolean | ((request: Packet) => boolean)) => {
  const clock = new VirtualClock();
  const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
  const [left, right] = createLink({ shared: true });
  const asking = new Host({ loop, random: seededRandom(1) });
  const asked = new Host({ loop, random: seededRandom(2) }, { echo });
  asking.join(left, { addresses: ["10.0.0.1/24", "2001:db8::1/64"], dad: false });
  asked.join(right, { addresses: ["10.0.0.2/24", "2001:db8::2/64"], dad: false });
  const run = (ms: number): void => {
    for (let passed = 0; passed < ms; passed++) {
      clock.advance(1);
      while (loop.turn(clock.nowMs()));
    }
  };
  return { asking, asked, run };
};

test.each([
  ["10.0.0.2", "10.0.0.1"],
  ["2001:db8::2", "2001:db8::1"],
])("a function hears each request to %s, and says which are answered", (to, from) => {
  const heard: string[] = [];
  const { asking, asked, run } = pair((request) => {
    heard.push(`${request.source} ${request.ttl}`);
    return heard.length !== 2;
  });
  const replies: number[] = [];
  const echo = asking.ping(to, { onReply: ({ sequence }: EchoReply) => void replies.push(sequence) });
  for (let sequence = 0; sequence < 3; sequence++) {
    expect(echo.send(sequence, new Uint8Array(10))).toBe(0);
    run(10);
  }
  expect(heard).toEqual(Array(3).fill(`${from} 64`));
  expect(replies).toEqual([0, 2]);
  const { icmp4, icmp6 } = asked.statistics();
  expect(icmp4.echoRequests + icmp6.echoRequests).toBe(2);
});

test("false answers nobody", () => {
  const { asking, run } = pair(false);
  let replies = 0;
  const echo = asking.ping("10.0.0.2", { onReply: () => void (replies += 1) });
  echo.send(0, new Uint8Array(0));
  run(100);
  expect(replies).toBe(0);
});

test.each(["10.0.0.2", "2001:db8::2", "10.0.0.99", "2001:db8::99"])(
  "the notice of a request to %s hears whether it left",
  (to) => {
    const { asking, run } = pair(true);
    const heard: string[] = [];
    const echo = asking.ping(to, { onReply: () => {} });
    const notice = { sent: () => void heard.push("sent"), dropped: (why: string) => void heard.push(why) };
    expect(echo.send(0, new Uint8Array(8), notice)).toBe(0);
    run(10_000);
    expect(heard).toEqual([to.includes("99") ? "unreachable" : "sent"]);
  },
);
