/**
 * What the kernel tells of a loaded program or map (struct bpf_prog_info and bpf_map_info of linux/bpf.h).
 */
import { bpf_map_get_fd_by_id, bpf_obj_get_info_by_fd, bpf_prog_get_fd_by_id } from "../sys/libbpf.ts";
import { close } from "../sys/libc.ts";
import { addressOf, struct } from "../sys/memory.ts";

const U32_BYTES = 4;
/** BPF_OBJ_NAME_LEN, with its NUL. */
const NAME_BYTES = 16;

const PROGRAM_ID = 4;
const PROGRAM_MAP_COUNT = 52;
const PROGRAM_MAP_IDS = PROGRAM_MAP_COUNT + U32_BYTES;
const PROGRAM_NAME = PROGRAM_MAP_IDS + BigUint64Array.BYTES_PER_ELEMENT;
const PROGRAM_BYTES = PROGRAM_NAME + NAME_BYTES;

const MAP_NAME = 24;
const MAP_BYTES = MAP_NAME + NAME_BYTES;

/** MAX_USED_MAPS of linux/bpf_verifier.h: no program has more. */
const MAX_MAPS = 64;

export interface ProgramInfo {
  /** 0 where the kernel does not tell. */
  readonly id: number;
  readonly name: string;
  readonly mapIds: readonly number[];
}

const decoder = new TextDecoder();

const text = (bytes: Uint8Array, at: number): string => {
  const name = bytes.subarray(at, at + NAME_BYTES);
  const end = name.indexOf(0);
  return decoder.decode(end < 0 ? name : name.subarray(0, end));
};

/** Asks for `info`; false where the descriptor is none of BPF's. */
const ask = (fd: number, info: Uint8Array): boolean => {
  const length = struct(U32_BYTES);
  length.view.setUint32(0, info.length, true);
  return bpf_obj_get_info_by_fd(fd, info, length.bytes) === 0;
};

/** The program behind a descriptor. */
export const programInfo = (fd: number): ProgramInfo => {
  const { bytes, view } = struct(PROGRAM_BYTES);
  const ids = struct(MAX_MAPS * U32_BYTES);
  view.setUint32(PROGRAM_MAP_COUNT, MAX_MAPS, true);
  view.setBigUint64(PROGRAM_MAP_IDS, BigInt(addressOf(ids.bytes)), true);
  if (!ask(fd, bytes)) return { id: 0, name: "", mapIds: [] };
  const count = Math.min(view.getUint32(PROGRAM_MAP_COUNT, true), MAX_MAPS);
  return {
    id: view.getUint32(PROGRAM_ID, true),
    name: text(bytes, PROGRAM_NAME),
    mapIds: Array.from({ length: count }, (_, i) => ids.view.getUint32(i * U32_BYTES, true)),
  };
};

/** The name of the map behind a descriptor, as the kernel keeps it (cut at 15 bytes). */
export const mapName = (fd: number): string => {
  const { bytes } = struct(MAP_BYTES);
  return ask(fd, bytes) ? text(bytes, MAP_NAME) : "";
};

const withFd = <T>(fd: number, use: (fd: number) => T): T | undefined => {
  if (fd < 0) return undefined;
  try {
    return use(fd);
  } finally {
    close(fd);
  }
};

/** Runs `use` on a descriptor of the program of this id, open as long as that takes; undefined where there is none. */
export const withProgram = <T>(id: number, use: (fd: number) => T): T | undefined =>
  withFd(bpf_prog_get_fd_by_id(id), use);

/** The same for a map. */
export const withMap = <T>(id: number, use: (fd: number) => T): T | undefined =>
  withFd(bpf_map_get_fd_by_id(id), use);
