/**
 * A compiled object of bpf/ in the kernel: opened, checked, loaded, and its maps and programs found by name.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errno, ERRNO, SystemError } from "../sys/errno.ts";
import {
  bpf_map__fd,
  bpf_map__reuse_fd,
  bpf_object__close,
  bpf_object__find_map_by_name,
  bpf_object__find_program_by_name,
  bpf_object__load,
  bpf_object__open_file,
  bpf_program__fd,
} from "../sys/libbpf.ts";
import { cString } from "../sys/libc.ts";
import { logMark, logSince } from "../sys/log.ts";
import type { Pointer } from "../sys/memory.ts";

/** Where `make bpf` puts the object `name`. */
export const objectPath = (name: string): string =>
  fileURLToPath(new URL(`../../bpf/${name}.bpf.o`, import.meta.url));

const LOAD_REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.EPERM]:
    "it takes CAP_BPF and CAP_NET_ADMIN (or root), or the locked-memory limit is too low (ulimit -l)",
  [ERRNO.EACCES]: "the kernel's verifier refused the program; the log says where",
  [ERRNO.EINVAL]: "the kernel may be too old for this program (5.18 is the oldest that takes xdp.frags)",
  [ERRNO.ENOMEM]: "there is no kernel memory left",
};

/** One object file, from open to close. */
export class BpfObject {
  readonly path: string;
  readonly pointer: Pointer;
  #open = true;

  /** Opens without loading. Throws SystemError (ENOENT with the remedy `make bpf` where there is no such file). */
  constructor(path: string) {
    if (!existsSync(path)) {
      throw new SystemError({
        operation: `open "${path}"`,
        operands: { object: path },
        errno: ERRNO.ENOENT,
        remedy: "the program is not compiled yet: run make bpf",
      });
    }
    const mark = logMark();
    const pointer = bpf_object__open_file(cString(path), null);
    if (typeof pointer !== "number") {
      throw new SystemError({
        operation: `open "${path}"`,
        operands: { object: path },
        errno: errno(),
        remedy: "it is no BPF object that this libbpf reads: run make bpf again",
        log: logSince(mark),
      });
    }
    this.path = path;
    this.pointer = pointer;
  }

  /** Has the kernel verify the programs and make the maps. */
  load(): void {
    const mark = logMark();
    const status = bpf_object__load(this.pointer);
    if (status < 0) {
      throw new SystemError({
        operation: `load "${this.path}"`,
        operands: { object: this.path },
        errno: -status,
        remedy: LOAD_REMEDIES[-status] ?? "the log says what libbpf was doing",
        log: logSince(mark),
      });
    }
  }

  /** The handle of map `name`; ".bss" and ".rodata" are the program's variables. */
  map(name: string): Pointer {
    return this.#found(bpf_object__find_map_by_name(this.pointer, cString(name)), `map ${name}`);
  }

  mapFd(name: string): number {
    return bpf_map__fd(this.map(name));
  }

  programFd(name: string): number {
    return bpf_program__fd(
      this.#found(bpf_object__find_program_by_name(this.pointer, cString(name)), `program ${name}`),
    );
  }

  /** Makes a map that is not loaded yet the same as one that is; libbpf duplicates the descriptor. */
  reuseMap(name: string, fd: number): void {
    const status = bpf_map__reuse_fd(this.map(name), fd);
    if (status === 0) return;
    throw new SystemError({
      operation: `share map ${name} with "${this.path}"`,
      operands: { object: this.path, map: name },
      errno: -status,
      remedy: "the object changed on disk since it was loaded: close and attach again",
    });
  }

  /** Closes every descriptor; the kernel frees what nothing else holds. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    bpf_object__close(this.pointer);
  }

  #found(pointer: unknown, what: string): Pointer {
    if (typeof pointer === "number") return pointer as Pointer;
    throw new SystemError({
      operation: `find ${what} in "${this.path}"`,
      operands: { object: this.path },
      errno: ERRNO.ENOENT,
      remedy: "the object and this version of millrace do not belong together: run make bpf",
    });
  }
}
