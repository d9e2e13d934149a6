/**
 * The symbols of libxdp, loaded when they are first asked for: only programs that share an interface need the library.
 */
import { dlopen } from "bun:ffi";
import { ERRNO, SystemError } from "./errno.ts";
import { printer } from "./log.ts";

const SONAME = "libxdp.so.1";

const open = () =>
  dlopen(SONAME, {
    libxdp_set_print: { args: ["ptr"], returns: "ptr" },
    xdp_multiprog__close: { args: ["ptr"], returns: "void" },
    xdp_multiprog__get_from_ifindex: { args: ["i32"], returns: "ptr" },
    xdp_multiprog__next_prog: { args: ["ptr", "ptr"], returns: "ptr" },
    xdp_program__attach: { args: ["ptr", "i32", "i32", "u32"], returns: "i32" },
    xdp_program__close: { args: ["ptr"], returns: "void" },
    xdp_program__detach: { args: ["ptr", "i32", "i32", "u32"], returns: "i32" },
    xdp_program__fd: { args: ["ptr"], returns: "i32" },
    xdp_program__from_bpf_obj: { args: ["ptr", "ptr"], returns: "ptr" },
    xdp_program__id: { args: ["ptr"], returns: "u32" },
    xdp_program__name: { args: ["ptr"], returns: "cstring" },
  }).symbols;

export type Libxdp = ReturnType<typeof open>;

let loaded: Libxdp | undefined;

/** libxdp's functions. Throws SystemError (ENOENT) where the library is not installed. */
export const libxdp = (): Libxdp => {
  if (loaded !== undefined) return loaded;
  try {
    loaded = open();
  } catch (cause) {
    throw new SystemError({
      operation: `load ${SONAME}`,
      operands: { library: SONAME },
      errno: ERRNO.ENOENT,
      remedy: "install libxdp (Debian: apt-get install libxdp1), or attach without `shared`",
      cause,
    });
  }
  loaded.libxdp_set_print(printer());
  return loaded;
};
