/**
 * A virtio card with queue pairs to spare: its driver receives on queues that ethtool does not show while an XDP program is
 * there, and no zero-copy socket can serve them. Silence would be the worst answer.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { attach, type AttachOptions, type XdpDevice } from "../../../index.ts";
import { parseCables } from "../../support/bed.ts";
import { Lab } from "../../support/lab.ts";
import { skipUnless } from "../../support/skip.ts";
import { settleAccounts, stream } from "../../support/stream.ts";

/** What the card has. */
const QUEUES = 4;
const [cable] = parseCables(process.env.MILLRACE_WIDE_CABLE ?? "");
const skip = skipUnless(cable !== undefined, "MILLRACE_WIDE_CABLE names no cable", { couldRun: false });

describe.skipIf(skip)("a virtio card with more queue pairs than processors", () => {
  let lab: Lab | undefined;
  afterAll(() => lab?.close());

  const freshLab = (queues: number): Lab => {
    lab?.close();
    lab = Lab.create({ quiet: true, devices: [cable!], queues });
    return lab;
  };

  const open = (where: Lab, side: "a" | "b", options: AttachOptions = {}): XdpDevice =>
    attach(where[side].name, {
      namespace: where.namespace(side),
      xdp: "native",
      bind: "zero-copy",
      ...options,
    });

  test("says which queues it does not serve, and its program counts what arrives there", () => {
    const narrow = freshLab(1);
    using a = open(narrow, "a");
    using b = open(narrow, "b");
    expect(b.queues.map((queue) => queue.index)).toEqual([0]);
    // virtnet_xdp_set: one queue pair more for each processor.
    const extra = Array.from({ length: navigator.hardwareConcurrency }, (_, i) => 1 + i);
    expect(b.mode.unserved).toEqual(extra);
    const sent = 64;
    expect(() => stream(a, b, { count: sent, length: () => 60, window: sent })).toThrow("packet 0 of 64");
    expect(b.statistics().program.noSocket).toBeGreaterThanOrEqual(sent);
    settleAccounts(a, b);
  });

  test("the remedy, all its queue pairs, leaves none unserved and loses nothing", () => {
    const full = freshLab(QUEUES);
    // One sender's queue, so that nothing overtakes.
    using a = open(full, "a", { queues: [0] });
    using b = open(full, "b");
    expect(b.mode.unserved).toEqual([]);
    expect(b.queues.length).toBe(QUEUES);
    stream(a, b, { count: 1000, length: () => 60, window: 64 });
    settleAccounts(a, b);
  });
});
