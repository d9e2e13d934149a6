/** Packets of several chunks on a device without multi-buffer: refused by name, and nothing of them reaches the wire. */
import { describe, expect, test } from "bun:test";
import { attach, Loop, SystemError, Transmitter } from "../../index.ts";
import { Lab } from "../support/lab.ts";
import { failure } from "../support/failure.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { numbered, settleAccounts, stream } from "../support/stream.ts";

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a packet that needs several chunks", () => {
  test.each(["native", "generic"] as const)(
    "%s without multi-buffer: EMSGSIZE, with the largest size",
    (xdp) => {
      using lab = Lab.create({ mtu: 3000, quiet: true });
      const open = (side: "a" | "b", multiBuffer: boolean) =>
        attach(lab[side].name, { namespace: lab.namespace(side), xdp, bind: "copy", multiBuffer });
      using a = open("a", false);
      using b = open("b", false);
      const sender = new Transmitter(a.queues[0]!);
      const room = a.umem.roomBytes;
      const error = failure(() => sender.sendBytes(numbered(0, room + 1)));
      expect(error.code).toBe("EMSGSIZE");
      expect(error.message).toContain("cannot send a packet of 2 chunks on queue 0");
      expect(error.remedy).toContain(`at most ${room} bytes`);
      settleAccounts(a, b);
      // What just fits goes, and is the first that arrives.
      stream(a, b, { count: 10, length: () => room });
      settleAccounts(a, b);
      expect(a.statistics()).toMatchObject({ txPackets: 10 });
    },
  );

  test("a long packet that a device with multi-buffer received cannot be forwarded to one without", () => {
    using lab = Lab.create({ mtu: 3000, quiet: true, pairs: 2 });
    const open = (side: "a" | "b", pair: number, multiBuffer: boolean) => {
      const end = lab.pairs[pair]![side];
      return attach(end.name, { namespace: end.namespace, bind: "copy", multiBuffer });
    };
    using from = open("a", 0, true);
    using left = open("b", 0, true);
    using right = open("b", 1, false);
    const errors: unknown[] = [];
    using loop = new Loop({ mode: "spin", onError: (error) => void errors.push(error) });
    loop.receive(left, (frame) => void frame.forward(right));
    loop.add(from);
    loop.add(right);
    new Transmitter(from.queues[0]!).sendBytes(numbered(0, 2500));
    const end = performance.now() + 4000;
    while (errors.length === 0 && performance.now() < end) loop.turn();
    expect(errors.map((error) => (error as SystemError).code)).toEqual(["EMSGSIZE"]);
    expect(right.statistics().txPackets).toBe(0);
    settleAccounts(from, left, right);
  });
});
