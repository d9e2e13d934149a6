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

/** A kernel's version, as upstream counts. */
export interface KernelVersion {
  /** What `uname -r` prints: "6.1.0-50-amd64". */
  readonly text: string;
  /** "6.1.176". */
  readonly upstream: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** Where distributions whose release has a number of their own for the patch level say which one it really is. */
const BUILD_VERSIONS: readonly RegExp[] = [
  // Debian, in `uname -v`: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)".
  /\bDebian (\d+)\.(\d+)(?:\.(\d+))?/,
  // Ubuntu, in /proc/version_signature: "Ubuntu 5.15.0-91.101-generic 5.15.131".
  /^Ubuntu \S+ (\d+)\.(\d+)(?:\.(\d+))?/m,
];

const TRIPLE = /^(\d+)\.(\d+)(?:\.(\d+))?/;

/**
 * Reads "6.18.44-fc-v669" and "7.2-rc1"; undefined for what is no Linux release. `build` is what else the kernel says of
 * itself (`uname -v`, /proc/version_signature): Debian's "6.1.0-50-amd64" is really 6.1.176.
 */
export const parseKernelVersion = (text: string, build = ""): KernelVersion | undefined => {
  const release = TRIPLE.exec(text.trim());
  if (release === null) return undefined;
  const [, major, minor] = release;
  // A build of another series would be of something else that is named there, such as a compiler.
  const real = BUILD_VERSIONS.map((pattern) => pattern.exec(build)).find(
    (found) => found?.[1] === major && found?.[2] === minor,
  );
  const patch = (real ?? release)[3];
  return {
    text: text.trim(),
    upstream: `${major}.${minor}${patch === undefined ? "" : `.${patch}`}`,
    major: Number(major),
    minor: Number(minor),
    patch: Number(patch ?? 0),
  };
};

export const kernelVersion = (): KernelVersion | undefined =>
  parseKernelVersion(
    readText("/proc/sys/kernel/osrelease") ?? "",
    ["/proc/sys/kernel/version", "/proc/version_signature"].map((path) => readText(path) ?? "").join("\n"),
  );

type VersionParts = Pick<KernelVersion, "major" | "minor" | "patch">;

/** Negative where `a` is older than `b`, 0 where they are the same, else positive. */
export const compareVersions = (a: VersionParts, b: VersionParts): number =>
  a.major - b.major || a.minor - b.minor || a.patch - b.patch;

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

/** The kernel's nr_cpu_ids, from the text of /sys/devices/system/cpu/possible ("0-3", "0,2-5"): one above the highest. */
export const parsePossibleProcessors = (text: string): number | undefined => {
  const last = /(\d+)\s*$/.exec(text)?.[1];
  return last === undefined ? undefined : Number(last) + 1;
};

export const possibleProcessors = (): number | undefined =>
  parsePossibleProcessors(readText("/sys/devices/system/cpu/possible") ?? "");

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
