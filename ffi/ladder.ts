/** The ladder of modes: each way to bind a socket is tried, the best first, and what was refused is kept with its reason. */
import type { Refusal } from "./device.ts";
import type { Plan } from "./options.ts";
import * as abi from "./sys/abi.ts";
import { ERRNO, SystemError } from "./sys/errno.ts";
import { bindRaw, type BindTarget } from "./xsk/setup.ts";

/** One way to bind, best first. */
export interface Rung {
  readonly name: string;
  readonly zeroCopy: boolean;
  readonly multiBuffer: boolean;
}

/** What decides beside the plan which rungs hold. */
export interface Ground {
  /** The program is in the driver. */
  readonly native: boolean;
  /** Why zero-copy would lose bytes, where it would. */
  readonly cut: SystemError | undefined;
}

/** Refusals that say "not in this mode"; any other errno would be the same on the next rung. */
const MODE_REFUSALS: readonly number[] = [ERRNO.EINVAL, ERRNO.EMSGSIZE, ERRNO.EOPNOTSUPP];

const rungs = (plan: Plan, native: boolean): Rung[] => {
  const zeroCopy =
    plan.bind === "zero-copy" ? [true] : plan.bind === "copy" || !native ? [false] : [true, false];
  const multiBuffer = plan.multiBuffer === undefined ? [true, false] : [plan.multiBuffer];
  return zeroCopy.flatMap((zero) =>
    multiBuffer.map((multi) => ({
      name: `${zero ? "zero-copy" : "copy"} ${multi ? "with" : "without"} multi-buffer`,
      zeroCopy: zero,
      multiBuffer: multi,
    })),
  );
};

const bindFlags = (rung: Rung, needWakeup: boolean): number =>
  (rung.zeroCopy ? abi.XDP_ZEROCOPY : abi.XDP_COPY) |
  (needWakeup ? abi.XDP_USE_NEED_WAKEUP : 0) |
  (rung.multiBuffer ? abi.XDP_USE_SG : 0);

/** Binds the first socket of a umem on the best rung that holds; the refusals go into `refused`. */
export const climb = (
  fd: number,
  target: BindTarget,
  plan: Plan,
  ground: Ground,
  refused: Refusal[],
): Rung => {
  const ladder = rungs(plan, ground.native);
  for (const [i, rung] of ladder.entries()) {
    try {
      if (rung.zeroCopy && ground.cut !== undefined) throw ground.cut;
      bindRaw(fd, target, bindFlags(rung, plan.needWakeup), -1);
      return rung;
    } catch (error) {
      const last = i === ladder.length - 1;
      if (last || !(error instanceof SystemError) || !MODE_REFUSALS.includes(error.errno)) throw error;
      refused.push({ tried: `${rung.name} on queue ${target.queue}`, error });
    }
  }
  throw new Error("a ladder has at least one rung");
};
