/** When a queue counts as stalled, what its device hears, and when it is well again. */
import { expect, test } from "bun:test";
import { Stall, STALL_KICKS } from "../../ffi/xsk/stall.ts";
import { ERRNO } from "../../ffi/sys/errno.ts";

const setUp = () => {
  const told: string[] = [];
  const stall = new Stall(3, {
    pass: () => false,
    stalled: (queue, reason) => void told.push(`${queue} stalled: ${reason}`),
    recovered: (queue) => void told.push(`${queue} recovered`),
    unbound: () => {},
  });
  return { stall, told };
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
