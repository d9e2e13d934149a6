/**
 * Closes the descriptors that libxdp forgets, so that a detached program leaves the kernel and a process can attach for ever.
 *
 * libxdp 1.3.1 opens the programs of a dispatcher by their ids, duplicates those descriptors, and closes the duplicates
 * only: each attach beside one other program costs two descriptors, each detach three. A program's descriptor keeps it
 * loaded; some hundreds of attaches end in EMFILE.
 */
import { readdirSync, readFileSync } from "node:fs";
import { close } from "../sys/libc.ts";
import { programInfo } from "./kernel-info.ts";

const OWN_FDS = "/proc/self/fd";
const OWN_FDINFO = "/proc/self/fdinfo";
/** BPF_PROG_TYPE_XDP and BPF_PROG_TYPE_EXT of linux/bpf.h. */
const TYPE_XDP = 6;
const TYPE_EXT = 28;
/** The name of libxdp's dispatcher in the kernel. */
const DISPATCHER = "xdp_dispatcher";

/** BPF_PROG_TYPE of a descriptor; undefined where it is of no program. */
const programType = (fd: number): number | undefined => {
  try {
    const type = /^prog_type:\s*(\d+)$/m.exec(readFileSync(`${OWN_FDINFO}/${fd}`, "utf8"))?.[1];
    return type === undefined ? undefined : Number(type);
  } catch {
    // Closed meanwhile; the descriptor that lists the folder always is.
    return undefined;
  }
};

/** The descriptors of programs that this process has, with their types. Others are no matter: their numbers are reused. */
const programFds = (): Map<number, number> => {
  const found = new Map<number, number>();
  for (const name of readdirSync(OWN_FDS)) {
    const type = programType(Number(name));
    if (type !== undefined) found.set(Number(name), type);
  }
  return found;
};

export interface Forgetful {
  /** Programs on the interface: what is there without a dispatcher is opened and forgotten as well. */
  readonly attached: readonly number[];
  /** The id of the program whose descriptors are in use; asked for afterwards, because it is loaded meanwhile. */
  readonly keep: () => number;
}

/**
 * Runs `work` and closes what it left open of dispatchers and the programs in them. Nothing else is touched: other threads
 * open descriptors meanwhile.
 */
export const closingForgotten = <T>(what: Forgetful, work: () => T): T => {
  const before = programFds();
  try {
    return work();
  } finally {
    const keep = what.keep();
    for (const [fd, type] of programFds()) {
      if (before.has(fd) || (type !== TYPE_XDP && type !== TYPE_EXT)) continue;
      const { id, name } = programInfo(fd);
      if (id === keep) continue;
      if (type === TYPE_EXT || name === DISPATCHER || what.attached.includes(id)) close(fd);
    }
  }
};
