/**
 * The symbols of libbpf that millrace calls, each a module-level constant so that the JIT sees the callee.
 *
 * libbpf 1.x: functions that return a status return a negated errno; functions that return a pointer return NULL and
 * set errno (libbpf.h, "libbpf 1.0"). `size_t` and `u64` cross in `ptr` slots, as in libc.ts.
 */
import { dlopen } from "bun:ffi";

const { symbols } = dlopen("libbpf.so.1", {
  bpf_link_create: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  bpf_link_update: { args: ["i32", "i32", "ptr"], returns: "i32" },
  bpf_map__fd: { args: ["ptr"], returns: "i32" },
  bpf_map__reuse_fd: { args: ["ptr", "i32"], returns: "i32" },
  bpf_map__set_max_entries: { args: ["ptr", "u32"], returns: "i32" },
  bpf_map_create: { args: ["i32", "ptr", "u32", "u32", "u32", "ptr"], returns: "i32" },
  bpf_map_delete_elem: { args: ["i32", "ptr"], returns: "i32" },
  bpf_map_freeze: { args: ["i32"], returns: "i32" },
  bpf_map_get_fd_by_id: { args: ["u32"], returns: "i32" },
  bpf_map_lookup_elem: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  bpf_map_update_batch: { args: ["i32", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  bpf_map_update_elem: { args: ["i32", "ptr", "ptr", "ptr"], returns: "i32" },
  bpf_obj_get_info_by_fd: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  bpf_object__btf: { args: ["ptr"], returns: "ptr" },
  bpf_object__close: { args: ["ptr"], returns: "void" },
  bpf_object__find_map_by_name: { args: ["ptr", "ptr"], returns: "ptr" },
  bpf_object__find_program_by_name: { args: ["ptr", "ptr"], returns: "ptr" },
  bpf_object__load: { args: ["ptr"], returns: "i32" },
  bpf_object__open_file: { args: ["ptr", "ptr"], returns: "ptr" },
  bpf_prog_get_fd_by_id: { args: ["u32"], returns: "i32" },
  bpf_prog_test_run_opts: { args: ["i32", "ptr"], returns: "i32" },
  bpf_program__fd: { args: ["ptr"], returns: "i32" },
  bpf_xdp_detach: { args: ["i32", "u32", "ptr"], returns: "i32" },
  btf__find_by_name_kind: { args: ["ptr", "ptr", "u32"], returns: "i32" },
  btf__name_by_offset: { args: ["ptr", "u32"], returns: "cstring" },
  btf__type_by_id: { args: ["ptr", "u32"], returns: "ptr" },
  libbpf_num_possible_cpus: { args: [], returns: "i32" },
  libbpf_set_print: { args: ["ptr"], returns: "ptr" },
});

export const {
  bpf_link_create,
  bpf_link_update,
  bpf_map__fd,
  bpf_map__reuse_fd,
  bpf_map__set_max_entries,
  bpf_map_create,
  bpf_map_delete_elem,
  bpf_map_freeze,
  bpf_map_get_fd_by_id,
  bpf_map_lookup_elem,
  bpf_map_update_batch,
  bpf_map_update_elem,
  bpf_obj_get_info_by_fd,
  bpf_object__btf,
  bpf_object__close,
  bpf_object__find_map_by_name,
  bpf_object__find_program_by_name,
  bpf_object__load,
  bpf_object__open_file,
  bpf_prog_get_fd_by_id,
  bpf_prog_test_run_opts,
  bpf_program__fd,
  bpf_xdp_detach,
  btf__find_by_name_kind,
  btf__name_by_offset,
  btf__type_by_id,
  libbpf_num_possible_cpus,
  libbpf_set_print,
} = symbols;
