/** When a queue counts as stalled, what its device hears, and when it is well again. */
import { expect, test } from "bun:test";
import { SocketReports } from "../../ffi/report.ts";
import type { Umem } from "../../ffi/xsk/umem.ts";
import { Stall, STALL_KICKS, STALL_MS } from "../../ffi/xsk/stall.ts";
import { ERRNO } from "../../ffi/sys/errno.ts";

const setUp = () => {
  const told: string[] = [];
  const clock = { nowMs: 0 };
  const host = {
    pass: () => false,
    stalled: (queue: number, reason: string) => void told.push(`${queue} stalled: ${reason}`),
    recovered: (queue: number) => void told.push(`${queue} recovered`),
    unbound: () => {},
  };
  return { stall: new Stall(3, host, () => clock.nowMs), told, clock };
};

test("wakeups that move nothing are a stall when there are many in a row", () => {
  const { stall, told } = setUp();
  for (let i = 1; i < STALL_KICKS; i++) stall.idle(0);
  stall.moved();
  for (let i = 1; i < STALL_KICKS; i++) stall.idle(0);
  expect(told).toEqual([]);
  stall.idle(0);
  expect(told).toEqual([
    `3 stalled: ${STALL_KICKS} wakeups moved no descriptor: sendto succeeds but sends nothing; has the device this transmit queue?`,
  ]);
  // It is said again while it lasts.
  for (let i = 0; i < STALL_KICKS; i++) stall.idle(ERRNO.EAGAIN);
  expect(told[1]).toContain("EAGAIN");
  stall.moved();
  stall.moved();
  stall.completed();
  expect(told.slice(2)).toEqual(["3 recovered"]);
});

test("a card that takes its time is stalled when frames wait and none completes for long", () => {
  const { stall, told, clock } = setUp();
  const look = (waiting: boolean, afterMs: number): void => {
    clock.nowMs += afterMs;
    stall.left(waiting);
  };
  look(true, 0);
  look(true, STALL_MS - 1);
  // It took what waited; and then completed what it had, but waits for what came meanwhile.
  look(false, 1);
  look(true, 1);
  clock.nowMs += STALL_MS;
  stall.completed();
  look(true, 0);
  look(true, STALL_MS - 1);
  expect(told).toEqual([]);
  look(true, 1);
  const words = `3 stalled: frames wait, and none was completed for ${STALL_MS} ms`;
  expect(told).toEqual([words]);
  // It is said again while it lasts.
  look(true, STALL_MS);
  expect(told).toEqual([words, words]);
  stall.completed();
  expect(told.slice(2)).toEqual(["3 recovered"]);
  look(true, STALL_MS);
  expect(told).toHaveLength(3);
});

test("a link that is down is a stall at once, and told once", () => {
  const { stall, told } = setUp();
  for (let i = 0; i < 5; i++) stall.linkDown();
  expect(told).toEqual(["3 stalled: sendto: ENETDOWN: the interface is down"]);
  stall.completed();
  stall.linkDown();
  expect(told).toHaveLength(3);
});

test("an error without a counter of its own is told at once, and again when it comes back", () => {
  const { stall, told } = setUp();
  for (let i = 0; i < STALL_KICKS; i++) stall.odd(ERRNO.EINVAL);
  expect(told).toEqual(["3 stalled: sendto: EINVAL"]);
  stall.odd(ERRNO.EINVAL);
  expect(told).toHaveLength(2);
  stall.moved();
  stall.odd(ERRNO.EINVAL);
  expect(told).toHaveLength(4);
});

test("what nobody takes is forgotten from the oldest on, of the same queue first: the last word of each is kept", () => {
  const reports = new SocketReports(1, undefined, {} as Umem, undefined);
  reports.stalled(1, "other");
  for (let i = 0; i < 1000; i++) reports.stalled(0, `time ${i}`);
  reports.recovered(0);
  const taken = Array.from({ length: 64 }, () => reports.take());
  expect(reports.take()).toBeUndefined();
  expect(taken[0]).toEqual({ kind: "stalled", queue: 1, reason: "other" });
  expect(taken.at(-1)).toEqual({ kind: "recovered", queue: 0 });
  reports.close();
});
