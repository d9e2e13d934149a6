/**
 * Steering programs of dead processes in libxdp's dispatcher: found and taken off, because ten programs fill a dispatcher.
 *
 * A shared program outlives its process. It harms no traffic (its sockets are gone, so it passes everything on), but a
 * service that crashes and starts again would add one each time. Whether a process still drives a program the kernel
 * knows: a map cannot be frozen while anybody has it mapped for writing (kernel/bpf/syscall.c, map_freeze), and a living
 * process has the program's variables mapped from before the attach until its end (claim-table.ts).
 */
import { readFileSync } from "node:fs";
import { bpf_map_freeze } from "../sys/libbpf.ts";
import type { Libxdp } from "../sys/libxdp.ts";
import type { Pointer } from "../sys/memory.ts";
import { mapName, programInfo, withMap, withProgram } from "./kernel-info.ts";

/** The program's name in a dispatcher and that of the map behind its variables, as bpf/steer.bpf.c gives them. */
const PROGRAM = "steer";
const VARIABLES = "steer.bss";

/** Frozen by an attempt before this one whose detach did not succeed. */
const isFrozen = (fd: number): boolean =>
  /^frozen:\s*1$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));

/** True where `id` is a steering program that no process drives any more. From then on none can: its variables are frozen. */
const isAbandoned = (id: number): boolean =>
  withProgram(id, (program) =>
    programInfo(program).mapIds.some(
      (map) =>
        withMap(map, (fd) => mapName(fd) === VARIABLES && (isFrozen(fd) || bpf_map_freeze(fd) === 0)) ===
        true,
    ),
  ) === true;

/** Takes every abandoned steering program out of the dispatcher on `ifindex`; one that does not go is left to the next attach. */
export const removeAbandoned = (library: Libxdp, ifindex: number, libxdpMode: number): void => {
  const list = library.xdp_multiprog__get_from_ifindex(ifindex);
  // An errno as an address, where no dispatcher is there, comes back as a bigint.
  if (typeof list !== "number") return;
  try {
    const dead: Pointer[] = [];
    for (
      let at = library.xdp_multiprog__next_prog(null, list);
      typeof at === "number";
      at = library.xdp_multiprog__next_prog(at, list)
    ) {
      const named = String(library.xdp_program__name(at)) === PROGRAM;
      if (named && isAbandoned(library.xdp_program__id(at))) dead.push(at);
    }
    for (const program of dead) library.xdp_program__detach(program, ifindex, libxdpMode, 0);
  } finally {
    library.xdp_multiprog__close(list);
  }
};
