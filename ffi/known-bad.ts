/**
 * The known-bad list: kernels and drivers with which something does not work that looks as if it did, or that nothing else
 * would tell beforehand; each with what goes wrong, the remedy, and where that is known from.
 *
 * An entry goes in when the survey (tests/vm/guest/survey.ts) or a report shows it, and stays for as long as such kernels run.
 */
import { finding, type Finding } from "./finding.ts";
import { compareVersions, type KernelVersion } from "./sys/machine.ts";

/** Of kernels by their upstream version, "6.17" or "6.16.12": `from` belongs to it, `before` does not. */
export interface KernelRange {
  /** None: from the beginning. */
  readonly from?: string;
  /** None: to this day. */
  readonly before?: string;
  /** "unknown" where some kernels of the range are good, and which is not known here. "no" unless given. */
  readonly answer?: "no" | "unknown";
  /** What goes wrong, after "Linux 6.17.0". */
  readonly trouble: string;
}

export interface KnownBad {
  /** What is asked, so that "yes" is good news. */
  readonly name: string;
  /** The driver that it is about; none where it is about the kernel itself. */
  readonly driver?: string;
  readonly kernels: readonly KernelRange[];
  readonly remedy: string;
  /** What millrace does so that it does no harm; then it is good news all the same. */
  readonly handled?: string;
  /** Where it is known from. */
  readonly source: string;
}

export const KNOWN_BAD: readonly KnownBad[] = [
  {
    name: "safe transmit in copy mode",
    kernels: [
      {
        from: "6.16.12",
        before: "6.16.13",
        trouble: "panics when a socket sends in copy mode over lo or veth",
      },
      {
        from: "6.16.13",
        before: "6.17",
        answer: "unknown",
        trouble: "follows one that panics in copy mode over lo or veth",
      },
      { from: "6.17", before: "6.17.1", trouble: "panics when a socket sends in copy mode over lo or veth" },
      {
        from: "6.17.1",
        before: "6.18",
        answer: "unknown",
        trouble: "follows one that panics in copy mode over lo or veth",
      },
    ],
    remedy: "take a newer kernel; 6.18 is known to work",
    source: "reports of a first fix of the order of completions (net/xdp/xsk.c, xsk_destruct_skb)",
  },
  {
    name: "a full completion ring is told",
    kernels: [
      { before: "6.13", trouble: "says success and sends nothing while the completion ring is full" },
      { from: "6.13", before: "6.18", answer: "unknown", trouble: "may send nothing and say success" },
    ],
    remedy: "none needed",
    handled: "the ring is emptied before every call, and is never smaller than the tx ring",
    source: "measured: EAGAIN on 6.18, 0 on 6.12; net/xdp/xsk.c, xsk_generic_xmit",
  },
  {
    name: "a bad packet of several chunks is dropped whole",
    kernels: [
      {
        from: "6.6",
        before: "6.13",
        trouble:
          "drops such a packet up to its invalid descriptor, and sends the rest as a packet of its own",
      },
      { from: "6.13", before: "6.18", answer: "unknown", trouble: "may send the rest of such a packet" },
    ],
    remedy: "none needed",
    handled: "every descriptor is checked before the kernel sees it",
    source: "the suite of invalid descriptors on 6.12, 6.18 and 7.3; net/xdp/xsk.c, xsk_generic_xmit",
  },
  {
    name: "zero-copy in virtio_net",
    driver: "virtio_net",
    kernels: [
      { before: "6.11", trouble: "has a virtio_net without zero-copy" },
      {
        from: "6.11",
        before: "6.13",
        trouble:
          "has a virtio_net that receives without a copy, but does not send so, and binds no such socket",
      },
    ],
    remedy: 'take Linux 6.13 or newer, or bind: "copy"',
    source: "the survey on Debian's 6.1 and 6.12: EOPNOTSUPP; drivers/net/virtio_net.c",
  },
  {
    name: "zero-copy in igb",
    driver: "igb",
    kernels: [{ before: "6.14", trouble: "has an igb without zero-copy" }],
    remedy: 'take Linux 6.14 or newer, or bind: "copy"',
    source:
      "the survey on Debian's 6.1 and 6.12: EOPNOTSUPP; drivers/net/ethernet/intel/igb/igb_xsk.c is of 6.14",
  },
  {
    name: "whole frames with zero-copy in igb",
    driver: "igb",
    kernels: [
      {
        from: "6.14",
        trouble:
          "has an igb that cuts frames above 1024 bytes with zero-copy and chunks of 2048, because the card counts its " +
          "buffers in whole KiB (SRRCTL.BSIZEPKT)",
      },
    ],
    remedy: 'chunkBytes: 4096, or bind: "copy"',
    handled:
      "attach takes chunks of 4096 there unless told otherwise, and refuses zero-copy with smaller ones (whole-frames.ts)",
    source: "the survey on 7.3: 1030 bytes arrive as 1024",
  },
  {
    name: "each frame once with zero-copy in igb",
    driver: "igb",
    kernels: [
      {
        from: "6.14",
        trouble:
          "has an igb that hands an old frame over once more where the fill ring runs short at the end of the card's own " +
          "ring; the chunk is then the program's and the card's at once",
      },
    ],
    remedy: 'never let it run out of chunks (watch rxFillRingEmptyDescs and rxForged), or bind: "copy"',
    source:
      "seen on 7.3 with a starved fill ring; igb_alloc_rx_buffers_zc leaves the length of the next descriptor as it was",
  },
  {
    name: "frames with VLAN tags in igb",
    driver: "igb",
    kernels: [
      { trouble: "has an igb that filters by VLAN and takes tags off before a program sees the frame" },
    ],
    remedy: "ip link set dev IFACE promisc on; ethtool -K IFACE rxvlan off",
    source: "the survey on 6.1, 6.12 and 7.3",
  },
];

/** Drivers that take further queues into use when a native program comes: one for each processor, where there are so many. */
const ADDS_QUEUES: readonly string[] = ["virtio_net"];

/**
 * Whether frames may come on queues that were not there before a native program was. Such a driver (virtnet_xdp_set in
 * drivers/net/virtio_net.c) wants queues to send from, but what is on the other side of it spreads received frames over them as
 * well (seen on 6.1 and 7.3). Undefined for drivers that leave their queues alone, and where it cannot be known.
 */
export const hiddenQueues = (
  driver: string,
  queues: { readonly combined: number; readonly maxCombined: number } | undefined,
  processors: number | undefined,
  interfaceName: string,
): Finding | undefined => {
  if (!ADDS_QUEUES.includes(driver) || queues === undefined || processors === undefined) return undefined;
  const { combined, maxCombined } = queues;
  const name = "no queues without a socket";
  const grown = combined + processors;
  if (grown > maxCombined)
    return finding(name, "yes", `a native program leaves it at ${combined} of ${maxCombined} queues`);
  return finding(
    name,
    "no",
    `a native program makes ${combined} queues ${grown}, one more for each processor, and frames that come on those pass by the sockets`,
    `ethtool -L ${interfaceName} combined ${maxCombined} before attaching, so that there are none to add`,
  );
};

const partsOf = (
  version: string,
): { readonly major: number; readonly minor: number; readonly patch: number } => {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  return { major, minor, patch };
};

/** The range that a kernel is in, if it is in one. */
export const rangeOf = (entry: KnownBad, kernel: KernelVersion): KernelRange | undefined =>
  entry.kernels.find(
    ({ from, before }) =>
      (from === undefined || compareVersions(kernel, partsOf(from)) >= 0) &&
      (before === undefined || compareVersions(kernel, partsOf(before)) < 0),
  );

/** What an entry says of a kernel. */
export const judge = (entry: KnownBad, kernel: KernelVersion | undefined): Finding => {
  if (kernel === undefined) return finding(entry.name, undefined, "the kernel's version is unknown");
  const range = rangeOf(entry, kernel);
  if (range === undefined)
    return finding(entry.name, "yes", `Linux ${kernel.upstream} is not one of those known to fail`);
  const { handled } = entry;
  if (handled !== undefined)
    return finding(entry.name, "yes", `Linux ${kernel.upstream} ${range.trouble}: ${handled}`);
  return finding(entry.name, range.answer ?? "no", `Linux ${kernel.upstream} ${range.trouble}`, entry.remedy);
};

/** What the list says of the kernel itself. */
export const kernelKnownBad = (kernel: KernelVersion | undefined): Finding[] =>
  KNOWN_BAD.filter(({ driver }) => driver === undefined).map((entry) => judge(entry, kernel));

/** What the list says against a driver on this kernel: only what is bad, because the driver itself tells what is good. */
export const driverKnownBad = (kernel: KernelVersion | undefined, driver: string): Finding[] =>
  kernel === undefined
    ? []
    : KNOWN_BAD.filter((entry) => entry.driver === driver && rangeOf(entry, kernel) !== undefined).map(
        (entry) => judge(entry, kernel),
      );
