/**
 * The program in libxdp's dispatcher, beside those of others: put in, taken out, and what libxdp gets wrong made good.
 */
import { getLink } from "../net/link.ts";
import { ERRNO, SystemError } from "../sys/errno.ts";
import { bpf_xdp_detach } from "../sys/libbpf.ts";
import { cString } from "../sys/libc.ts";
import { type Libxdp, libxdp } from "../sys/libxdp.ts";
import { logMark, logSince } from "../sys/log.ts";
import type { Pointer } from "../sys/memory.ts";
import { removeAbandoned } from "./abandoned.ts";
import { closingForgotten } from "./forgotten.ts";
import {
  type AttachTarget,
  climb,
  type Hook,
  MODE_REFUSALS,
  refusal,
  XDP_FLAGS,
  type XdpMode,
} from "./hook.ts";
import { programInfo } from "./kernel-info.ts";
import type { BpfObject } from "./object.ts";

/** enum xdp_attach_mode of xdp/libxdp.h. */
const LIBXDP_MODES: Readonly<Record<XdpMode, number>> = { native: 1, generic: 2 };

/** Where `auto` finds a dispatcher in the other mode it joins that one. */
const SHARED_MODE_REFUSALS: readonly number[] = [...MODE_REFUSALS, ERRNO.EEXIST];

/** errno of a pointer that is an error: libxdp returns it as the address, which the FFI hands over as a bigint. */
const pointerErrno = (pointer: unknown): number =>
  typeof pointer === "bigint" ? Number(2n ** 64n - pointer) : ERRNO.ENOENT;

/** Ids of the programs on an interface; none where it has gone. */
const attachedTo = (ifindex: number): number[] => {
  try {
    return getLink(ifindex).xdp.map(({ id }) => id);
  } catch (error) {
    if (error instanceof SystemError && error.errno === ERRNO.ENODEV) return [];
    throw error;
  }
};

/**
 * Throws where programs run in the other mode: the kernel says EEXIST then (net/core/dev.c, dev_xdp_attach), which libxdp
 * 1.3.1 takes for another process being faster, and it tries again until it has no descriptors left, for minutes.
 */
const assertSameMode = (target: AttachTarget, mode: XdpMode, mark: number): void => {
  const other = getLink(target.ifindex).xdp.find((running) => running.mode !== mode);
  if (other === undefined) return;
  throw refusal(`shared ${mode} program`, target, -ERRNO.EEXIST, mark);
};

/**
 * Takes the program off again and throws where it runs by itself, not in a dispatcher: there it would shut others out.
 */
const assertDispatcher = (id: number, target: AttachTarget, mode: XdpMode, mark: number): void => {
  if (!attachedTo(target.ifindex).includes(id)) return;
  bpf_xdp_detach(target.ifindex, XDP_FLAGS[mode], null);
  throw new SystemError({
    operation: `attach shared program to "${target.interface}"`,
    operands: { interface: target.interface, ifindex: target.ifindex },
    errno: ERRNO.EOPNOTSUPP,
    remedy:
      "this kernel refuses libxdp's dispatcher (it needs BPF_PROG_TYPE_EXT, BTF and a bpffs at /sys/fs/bpf): " +
      "attach without shared: true",
    log: logSince(mark),
  });
};

/** The kernel's id of a program; 0 before it is loaded. */
const idOf = (library: Libxdp, program: Pointer): number => {
  const fd = library.xdp_program__fd(program);
  return fd < 0 ? 0 : programInfo(fd).id;
};

const attachDispatched = (library: Libxdp, program: Pointer, target: AttachTarget, mode: XdpMode): void => {
  const mark = logMark();
  assertSameMode(target, mode, mark);
  const own = { attached: attachedTo(target.ifindex), keep: () => idOf(library, program) };
  const status = closingForgotten(own, () => {
    removeAbandoned(library, target.ifindex, LIBXDP_MODES[mode]);
    return library.xdp_program__attach(program, target.ifindex, LIBXDP_MODES[mode], 0);
  });
  if (status !== 0) throw refusal(`shared ${mode} program`, target, status, mark);
  assertDispatcher(idOf(library, program), target, mode, mark);
};

/** ENOENT: somebody else took it out (xdp-loader unload) or its interface has gone, and with that the aim is reached. */
const GONE: readonly number[] = [ERRNO.ENODEV, ERRNO.ENOENT];

const takeOut = (library: Libxdp, program: Pointer, target: AttachTarget, mode: XdpMode): void => {
  const mark = logMark();
  const all = { attached: attachedTo(target.ifindex), keep: () => 0 };
  const status = closingForgotten(all, () =>
    library.xdp_program__detach(program, target.ifindex, LIBXDP_MODES[mode], 0),
  );
  if (status === 0 || GONE.includes(-status)) return;
  throw new SystemError({
    operation: `take the shared program off "${target.interface}"`,
    operands: { interface: target.interface, ifindex: target.ifindex },
    errno: -status,
    remedy: `run xdp-loader unload ${target.interface} in the interface's network namespace`,
    log: logSince(mark),
  });
};

/**
 * Attaches `object`, opened but not loaded, through libxdp's dispatcher. A program attached so outlives the process: only
 * `detach`, the next shared attach or `xdp-loader unload` takes it off; while no socket is in the map its frames go to the
 * kernel. `detach` must be called in the interface's network namespace; it is quiet where the program is gone already.
 */
export const attachShared = (object: BpfObject, section: string, target: AttachTarget): Hook => {
  const library = libxdp();
  const mark = logMark();
  const made = library.xdp_program__from_bpf_obj(object.pointer, cString(section));
  if (typeof made !== "number") throw refusal("shared program", target, -pointerErrno(made), mark);
  let program: Pointer | null = made as Pointer;
  const discard = (): void => {
    if (program !== null) library.xdp_program__close(program);
    program = null;
  };
  try {
    const { mode, refused } = climb(
      target,
      (tried) => attachDispatched(library, program!, target, tried),
      SHARED_MODE_REFUSALS,
    );
    return {
      mode,
      refused,
      update: () => {
        throw new SystemError({
          operation: `replace the shared program on "${target.interface}"`,
          operands: { interface: target.interface, ifindex: target.ifindex },
          errno: ERRNO.EOPNOTSUPP,
          remedy:
            "a dispatcher has no replacement between two frames: change the claims instead, or attach without shared",
        });
      },
      detach: () => {
        if (program === null) return;
        try {
          takeOut(library, program, target, mode);
        } finally {
          discard();
        }
      },
    };
  } catch (error) {
    discard();
    throw error;
  }
};
