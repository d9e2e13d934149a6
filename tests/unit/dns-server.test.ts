/**
 * The name server on a host of its own in virtual time: in place, in fragments, over both families, and whom it does not answer.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Server } from "../../examples/dns/server.ts";
import { createLink, Host, Loop, type MemoryDevice, seededRandom } from "../../stack/index.ts";
import { compiled } from "../support/dns-asking.ts";
import { decode, QTYPE, query } from "../support/dns-message.ts";
import { fullName } from "../support/dns-zone.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

const MTU = 576;
const PORT = 53;
const ADDRESSES = ["10.0.0.2", "2001:db8::2"] as const;

describe("the server", () => {
  let loop: Loop;
  let clock: VirtualClock;
  let server: Server;
  let asker: Host;
  let device: MemoryDevice;
  let answers: Uint8Array[];

  const run = (ms: number): void => {
    for (let t = 0; t < ms; t++) {
      clock.advance(1);
      while (loop.turn(clock.nowMs()));
    }
  };
  const start = (mtu: number): void => {
    clock = new VirtualClock();
    loop = new Loop({
      clock,
      waiter: new ManualWaiter(clock),
      onError: (error) => {
        throw error;
      },
    });
    const [left, right] = createLink({ mtu });
    device = right;
    asker = new Host({ loop, random: seededRandom(1) });
    asker.join(left, { addresses: ["10.0.0.1/24", "2001:db8::1/64"], dad: false });
    const host = new Host({ loop, random: seededRandom(2) });
    host.join(right, { addresses: ADDRESSES.map((each) => `${each}/24`), dad: false });
    server = new Server(host, compiled);
    answers = [];
    run(1);
  };
  const ask = (to: string, message: Uint8Array): void => {
    using socket = asker.udp({ port: 0 }, (datagram) => void answers.push(datagram.copy()));
    socket.send({ address: to, port: PORT }, message);
    run(20);
  };
  const accounts = () => device.umem.accounts();

  beforeEach(() => start(1500));
  afterEach(() => server.close());

  test("answers over both families, in the frame that asked", () => {
    for (const to of ADDRESSES) ask(to, query(fullName("many"), QTYPE.A));
    expect(answers.map((each) => decode(each).answers.length)).toEqual([3, 3]);
    expect(server.statistics()).toMatchObject({
      queries: 2,
      answers: { NOERROR: 2 },
      lost: 0,
      unanswerable: 0,
    });
    expect(accounts().lent).toBe(0);
  });

  test("answers longer than what asked, up to the most", () => {
    for (const to of ADDRESSES) ask(to, query(fullName("longer"), QTYPE.TXT, { size: 1232 }));
    expect(answers.map((each) => decode(each).answers.length)).toEqual([2, 2]);
    expect(answers[0]!.length).toBeGreaterThan(1000);
  });

  test("answers questions that came in fragments, and with more than one piece of its own where the link is narrow", () => {
    start(MTU);
    const padding = [0, 12, ...[0x03, 0xe8], ...Array<number>(1000).fill(0)];
    ask(ADDRESSES[0], query(fullName("longer"), QTYPE.TXT, { size: 1232, options: padding }));
    ask(ADDRESSES[0], query(fullName("longer"), QTYPE.TXT, { size: 1232 }));
    ask(ADDRESSES[0], query(fullName("many"), QTYPE.A));
    expect(answers.map((each) => decode(each).answers.length)).toEqual([2, 2, 3]);
    expect(server.statistics()).toMatchObject({ queries: 3, lost: 0 });
  });

  test("does not answer what is for everybody, or what is an answer", () => {
    ask("10.0.0.255", query(fullName("many"), QTYPE.A));
    ask("255.255.255.255", query(fullName("many"), QTYPE.A));
    ask(ADDRESSES[0], query(fullName("many"), QTYPE.A, { flags: 0x8000 }));
    expect(answers).toEqual([]);
    expect(server.statistics()).toMatchObject({ unanswerable: 2, ignored: 1, queries: 1 });
  });

  test("gives its port back", () => {
    server.close();
    ask(ADDRESSES[0], query(fullName("many"), QTYPE.A));
    expect(answers).toEqual([]);
  });
});
