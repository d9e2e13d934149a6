/** What this process holds of the kernel's, counted: for tests that say nothing was touched or nothing was left. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Resources {
  /** Descriptors that millrace opens: sockets, BPF objects, namespaces. */
  readonly descriptors: number;
  /** Mappings of AF_XDP rings. */
  readonly rings: number;
  /** BPF programs and the links that hold them on an interface. */
  readonly programs: number;
}

const OURS = /^(socket:|anon_inode:bpf|anon_inode:\[?(xdp|bpf)|net:)/;

const links = (): string[] =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The descriptor of the listing itself.
      return [];
    }
  });

export const resources = (): Resources => {
  const open = links();
  return {
    descriptors: open.filter((target) => OURS.test(target)).length,
    rings: readFileSync("/proc/self/maps", "utf8")
      .split("\n")
      .filter((line) => line.includes("socket:[")).length,
    programs: open.filter((target) => target.includes("bpf-prog") || target.includes("bpf_link")).length,
  };
};
