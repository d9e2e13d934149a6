/**
 * Facts of the machine and of this process, read from /proc and /sys and nowhere changed.
 *
 * Each is undefined where it cannot be read: that is an answer too. Source: proc(5), capabilities(7),
 * Documentation/admin-guide/sysctl/net.rst.
 */
import { existsSync, readFileSync, statfsSync } from "node:fs";

/** Bits of include/uapi/linux/capability.h. */
export const CAPABILITIES = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
} as const;
export type Capability = keyof typeof CAPABILITIES;

/** BPF_FS_MAGIC of include/uapi/linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;
export const BPFFS_PATH = "/sys/fs/bpf";
const BTF_PATH = "/sys/kernel/btf/vmlinux";

const readText = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Missing, hidden by a container or forbidden: all mean that this cannot be known.
    return undefined;
  }
};

/** A kernel's version. `text` is what `uname -r` prints. */
export interface KernelVersion {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** Reads "6.18.44-fc-v669" and "7.2-rc1"; undefined for what is no Linux release. */
export const parseKernelVersion = (text: string): KernelVersion | undefined => {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text.trim());
  if (match === null) return undefined;
  const [, major, minor, patch] = match;
  return { text: text.trim(), major: Number(major), minor: Number(minor), patch: Number(patch ?? 0) };
};

export const kernelVersion = (): KernelVersion | undefined =>
  parseKernelVersion(readText("/proc/sys/kernel/osrelease") ?? "");

/** True where `version` is `major.minor` or newer. */
export const isAtLeast = (version: KernelVersion, major: number, minor: number): boolean =>
  version.major > major || (version.major === major && version.minor >= minor);

/** The capabilities of CAPABILITIES in a CapEff line of /proc/PID/status. Undefined where there is no such line. */
export const parseCapabilities = (status: string): ReadonlySet<Capability> | undefined => {
  const mask = /^CapEff:\s*([0-9a-fA-F]+)$/m.exec(status)?.[1];
  if (mask === undefined) return undefined;
  // 64 bits, of which CAP_BPF is the 40th: beyond what bitwise operators reach.
  const bits = BigInt(`0x${mask}`);
  const held = (Object.keys(CAPABILITIES) as Capability[]).filter(
    (name) => (bits >> BigInt(CAPABILITIES[name])) & 1n,
  );
  return new Set(held);
};

/** The effective capabilities of this process. */
export const effectiveCapabilities = (): ReadonlySet<Capability> | undefined =>
  parseCapabilities(readText("/proc/self/status") ?? "");

/** The soft RLIMIT_MEMLOCK in bytes, Infinity where unlimited, from the text of /proc/PID/limits. */
export const parseMemlockLimit = (limits: string): number | undefined => {
  const soft = /^Max locked memory\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === "unlimited" ? Infinity : Number(soft);
};

export const memlockLimitBytes = (): number | undefined =>
  parseMemlockLimit(readText("/proc/self/limits") ?? "");

/** The kernel describes its own types. */
export const hasKernelBtf = (): boolean => existsSync(BTF_PATH);

/** A BPF file system is mounted where libbpf and libxdp expect it, as this process sees it. */
export const hasBpffs = (): boolean => {
  try {
    return statfsSync(BPFFS_PATH).type === BPF_FS_MAGIC;
  } catch {
    // No such folder: nothing is mounted there.
    return false;
  }
};

/** net.core.bpf_jit_enable: 0 off, 1 on, 2 on with debugging. Undefined outside the initial network namespace. */
export const bpfJitSetting = (): number | undefined => {
  const text = readText("/proc/sys/net/core/bpf_jit_enable");
  return text === undefined ? undefined : Number(text);
};

/** Huge pages of the default size. */
export interface HugePages {
  readonly free: number;
  readonly total: number;
  readonly sizeBytes: number;
}

/** From the text of /proc/meminfo. */
export const parseHugePages = (meminfo: string): HugePages | undefined => {
  const field = (name: string): number | undefined => {
    const value = new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(meminfo)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const free = field("HugePages_Free");
  const total = field("HugePages_Total");
  const sizeKib = field("Hugepagesize");
  if (free === undefined || total === undefined || sizeKib === undefined) return undefined;
  return { free, total, sizeBytes: sizeKib * 1024 };
};

export const hugePages = (): HugePages | undefined => parseHugePages(readText("/proc/meminfo") ?? "");
