/** What this machine and this process can do for AF_XDP, as findings: kernel, rights, limits, BPF's surroundings. */
import { finding, type Finding } from "./finding.ts";
import { kernelKnownBad } from "./known-bad.ts";
import {
  BPFFS_PATH,
  bpfJitSetting,
  effectiveCapabilities,
  hasBpffs,
  hasKernelBtf,
  hugePages,
  isAtLeast,
  kernelVersion,
  memlockLimitBytes,
  type Capability,
  type HugePages,
  type KernelVersion,
} from "./sys/machine.ts";

/** Everything that the findings are made of; undefined where it could not be read. */
export interface MachineFacts {
  readonly kernel: KernelVersion | undefined;
  readonly capabilities: ReadonlySet<Capability> | undefined;
  /** Soft RLIMIT_MEMLOCK; Infinity where unlimited. */
  readonly memlockBytes: number | undefined;
  readonly btf: boolean;
  readonly bpffs: boolean;
  /** 0 off, 1 on, 2 debug. */
  readonly jit: number | undefined;
  readonly hugePages: HugePages | undefined;
}

/** Reads the facts; changes nothing. */
export const machineFacts = (): MachineFacts => ({
  kernel: kernelVersion(),
  capabilities: effectiveCapabilities(),
  memlockBytes: memlockLimitBytes(),
  btf: hasKernelBtf(),
  bpffs: hasBpffs(),
  jit: bpfJitSetting(),
  hugePages: hugePages(),
});

/**
 * The first kernel release with each feature; those of drivers are in known-bad.ts. Distributions carry some of them back,
 * which no version number tells.
 */
export const FLOORS: readonly { readonly name: string; readonly major: number; readonly minor: number }[] = [
  { name: "need_wakeup", major: 5, minor: 4 },
  { name: "attach by bpf_link", major: 5, minor: 9 },
  { name: "umem shared across queues", major: 5, minor: 10 },
  { name: "busy poll", major: 5, minor: 11 },
  { name: "multi-buffer", major: 6, minor: 6 },
  { name: "transmit metadata", major: 6, minor: 8 },
];

const NEEDED_FOR: readonly { readonly name: Capability; readonly use: string }[] = [
  { name: "CAP_NET_RAW", use: "to open an AF_XDP socket" },
  { name: "CAP_BPF", use: "to load the program and its maps" },
  { name: "CAP_NET_ADMIN", use: "to attach the program to an interface" },
  { name: "CAP_SYS_ADMIN", use: "to enter another network namespace; not needed within one's own" },
];

/** The umem of one queue at its defaults: 4096 chunks of 2048 bytes. */
const DEFAULT_UMEM_BYTES = 4096 * 2048;
const MEBIBYTE = 1024 * 1024;
const inMebibytes = (bytes: number): string =>
  bytes === Infinity ? "unlimited" : `${Math.floor(bytes / MEBIBYTE)} MiB`;

const kernelFindings = (kernel: KernelVersion | undefined): Finding[] => [
  ...FLOORS.map(({ name, major, minor }) => {
    const floor = `since Linux ${major}.${minor}`;
    if (kernel === undefined) return finding(name, undefined, `${floor}; the kernel's version is unknown`);
    const own = kernel.text.startsWith(kernel.upstream) ? "" : ` (${kernel.upstream})`;
    const detail = `${floor}; this is ${kernel.text}${own}`;
    return finding(
      name,
      isAtLeast(kernel, major, minor),
      detail,
      "take a newer kernel, unless yours carries it back",
    );
  }),
  ...kernelKnownBad(kernel),
];

const capabilityFindings = (held: MachineFacts["capabilities"]): Finding[] =>
  NEEDED_FOR.map(({ name, use }) =>
    finding(
      name,
      held?.has(name),
      held === undefined ? `${use}; /proc/self/status cannot be read` : use,
      `run as root, or give the program the capability (setcap, systemd AmbientCapabilities, docker --cap-add)`,
    ),
  );

const memoryFinding = ({ capabilities, memlockBytes }: MachineFacts): Finding => {
  const name = "locked memory";
  if (capabilities?.has("CAP_IPC_LOCK") === true) return finding(name, "yes", "CAP_IPC_LOCK lifts the limit");
  if (memlockBytes === undefined) return finding(name, undefined, "/proc/self/limits cannot be read");
  return finding(
    name,
    memlockBytes >= DEFAULT_UMEM_BYTES,
    `RLIMIT_MEMLOCK is ${inMebibytes(memlockBytes)}; one queue with defaults needs ${inMebibytes(DEFAULT_UMEM_BYTES)}`,
    "raise it (ulimit -l, systemd LimitMEMLOCK, docker --ulimit memlock=-1), or give CAP_IPC_LOCK",
  );
};

const jitFinding = (jit: number | undefined): Finding => {
  const name = "BPF JIT";
  if (jit === undefined)
    return finding(name, undefined, "net.core.bpf_jit_enable is only shown in the first namespace");
  return finding(name, jit > 0, `net.core.bpf_jit_enable is ${jit}`, "sysctl net.core.bpf_jit_enable=1");
};

const hugePageFinding = (pages: HugePages | undefined): Finding => {
  const name = "huge pages";
  if (pages === undefined) return finding(name, undefined, "/proc/meminfo tells of none");
  const detail = `${pages.free} of ${pages.total} free, ${inMebibytes(pages.sizeBytes)} each; only needed if asked for`;
  return finding(
    name,
    pages.free > 0,
    detail,
    "sysctl vm.nr_hugepages=N; chunks up to 4096 bytes do without",
  );
};

/** The findings that follow from the facts. */
export const machineFindings = (facts: MachineFacts): Finding[] => [
  ...kernelFindings(facts.kernel),
  ...capabilityFindings(facts.capabilities),
  memoryFinding(facts),
  finding(
    "kernel BTF",
    facts.btf,
    facts.btf ? "the kernel describes its own types" : "/sys/kernel/btf/vmlinux is missing",
    "take a kernel with CONFIG_DEBUG_INFO_BTF; only programs with kernel types need it",
  ),
  finding(
    "bpffs",
    facts.bpffs,
    facts.bpffs ? `mounted at ${BPFFS_PATH}` : `none at ${BPFFS_PATH} as this process sees it`,
    `mount -t bpf bpf ${BPFFS_PATH}; \`ip netns exec\` hides it, \`nsenter --net\` does not; only shared programs need it`,
  ),
  jitFinding(facts.jit),
  hugePageFinding(facts.hugePages),
];
