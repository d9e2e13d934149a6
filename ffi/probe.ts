/**
 * What this machine and an interface can do for AF_XDP, and why not: three answers, each with its reason and remedy.
 *
 * A probe only reads. What can only be known by trying (binding a socket in each mode) is up to whoever passes `modes`.
 */
import { finding, type Finding } from "./finding.ts";
import { driverKnownBad, hiddenQueues } from "./known-bad.ts";
import { machineFacts, machineFindings, type MachineFacts } from "./machine.ts";
import { ethtoolFacts, rxQueueCount, txQueueCount, type EthtoolFacts } from "./net/ethtool.ts";
import { getLink, type Link } from "./net/link.ts";
import { inNamespace } from "./net/namespace.ts";
import { peerOf, type Peer } from "./net/peer.ts";
import { xdpFeatures, type XdpFeatures } from "./net/xdp-features.ts";
import { isAtLeast, type KernelVersion, possibleProcessors } from "./sys/machine.ts";

export type { Answer, Finding } from "./finding.ts";

/** What the kernel tells of an interface. */
export interface InterfaceFacts {
  readonly link: Link;
  readonly ethtool: EthtoolFacts;
  /** Undefined before Linux 6.3. */
  readonly features: XdpFeatures | undefined;
  /** The other end of a veth, if it can be reached. */
  readonly peer: Peer | undefined;
}

export interface InterfaceReport extends InterfaceFacts {
  readonly findings: readonly Finding[];
  /** What the trial of each mode found; empty where none was made. */
  readonly modes: readonly Finding[];
}

export interface ProbeReport {
  readonly facts: MachineFacts;
  readonly machine: readonly Finding[];
  readonly interface: InterfaceReport | undefined;
}

export interface ProbeOptions {
  /** Name (`ip netns`) or path of the network namespace that the interface is in; the caller's unless given. */
  readonly namespace?: string;
  /** Tries modes on the interface; runs inside its namespace. Without it a probe changes nothing. */
  readonly modes?: (facts: InterfaceFacts) => readonly Finding[];
}

/**
 * Largest MTU that a driver takes with a program that does not know frames of several buffers. veth (drivers/net/veth.c):
 * one page less XDP headroom 256, Ethernet header 14 and struct skb_shared_info 320.
 */
const SINGLE_BUFFER_MTU: Readonly<Record<string, number>> = { veth: 3506 };

/** The first kernel whose sockets take packets of several chunks (XDP_USE_SG); drivers gave them to programs before. */
const MULTI_BUFFER = { major: 6, minor: 6 } as const;

const lacksMultiBuffer = (kernel: KernelVersion | undefined): boolean =>
  kernel !== undefined && !isAtLeast(kernel, MULTI_BUFFER.major, MULTI_BUFFER.minor);

const driverOf = ({ ethtool, link }: InterfaceFacts): string => ethtool.driver?.driver ?? link.kind;

const queueFinding = ({ ethtool, link }: InterfaceFacts): Finding => {
  const { channels } = ethtool;
  if (channels === undefined) {
    const detail = `the driver does not tell its channels; allocated are ${link.rxQueues} rx, ${link.txQueues} tx`;
    return finding("queues", undefined, detail);
  }
  return finding("queues", "yes", `${rxQueueCount(channels)} rx, ${txQueueCount(channels)} tx in use`);
};

const peerQueueText = ({ ethtool, peer }: InterfaceFacts): string | undefined => {
  if (peer === undefined) return undefined;
  const rx = rxQueueCount(ethtool.channels);
  const tx = txQueueCount(peer.ethtool.channels);
  if (tx <= rx) return undefined;
  return `its peer "${peer.link.name}" has ${tx} tx queues, more than its own ${rx} rx queues`;
};

const nativeFinding = (facts: InterfaceFacts): Finding => {
  const { features, link } = facts;
  const name = "native XDP";
  const driver = driverOf(facts);
  const tooMany = peerQueueText(facts);
  if (tooMany !== undefined) {
    const remedy = `ethtool -L ${link.name} rx N, or fewer tx queues on the peer (ethtool -L ${facts.peer!.link.name} tx N)`;
    return finding(name, "no", tooMany, remedy);
  }
  if (features === undefined) {
    return finding(
      name,
      undefined,
      `only Linux 6.3 and newer tell what driver "${driver}" can do`,
      "try to attach",
    );
  }
  const able = features.native && features.redirect;
  const detail = `driver "${driver || "unknown"}" ${able ? "runs programs" : "does not run programs that redirect"}`;
  return finding(name, able, detail, "generic mode works on every interface, slower");
};

const zeroCopyFinding = (facts: InterfaceFacts): Finding => {
  const { features } = facts;
  const driver = driverOf(facts);
  const name = "zero-copy";
  if (features === undefined) return finding(name, undefined, "only Linux 6.3 and newer tell", "try to bind");
  const detail = `driver "${driver || "unknown"}" ${features.zeroCopy ? "has it" : "does not have it"}`;
  return finding(name, features.zeroCopy, detail, "copy mode works on every interface");
};

const mtuFindings = (facts: InterfaceFacts, kernel: KernelVersion | undefined): Finding[] => {
  const { features, link } = facts;
  const limit = SINGLE_BUFFER_MTU[driverOf(facts)];
  const lower = limit === undefined ? "lower the MTU" : `ip link set ${link.name} mtu ${limit}`;
  const single = finding(
    "native XDP at this MTU without multi-buffer",
    limit === undefined ? undefined : link.mtu <= limit,
    limit === undefined
      ? `MTU ${link.mtu}; the driver's limit is not known`
      : `MTU ${link.mtu}, limit ${limit}`,
    lacksMultiBuffer(kernel) ? lower : `attach with multi-buffer, or ${lower}`,
  );
  const name = "native XDP with multi-buffer";
  if (lacksMultiBuffer(kernel)) {
    const detail = `sockets take packets of several chunks since Linux ${MULTI_BUFFER.major}.${MULTI_BUFFER.minor}`;
    return [single, finding(name, "no", detail, "keep the MTU within one buffer, or take a newer kernel")];
  }
  const many = finding(
    name,
    features?.multiBuffer,
    features === undefined
      ? "only Linux 6.3 and newer tell"
      : `the driver ${features.multiBuffer ? "gives" : "does not give"} programs packets of several buffers`,
    "keep the MTU within one buffer, or use generic mode",
  );
  return [single, many];
};

const freeFinding = ({ link }: InterfaceFacts): Finding => {
  const name = "free for a program";
  if (link.xdp.length === 0) return finding(name, "yes", "no XDP program is attached");
  const programs = link.xdp.map(({ mode, id }) => `${id} (${mode})`).join(", ");
  const remedy = `bpftool prog show id ${link.xdp[0]!.id} says whose it is; ip link set ${link.name} xdp off removes it`;
  return finding(name, "no", `XDP program ${programs} is attached`, remedy);
};

/** Whether what arrives has whole UDP and TCP checksums, or only the sum of the pseudo-header. */
const checksumFinding = ({ ethtool, link, peer }: InterfaceFacts): Finding => {
  const name = "complete checksums on arrival";
  if (link.kind === "veth") {
    if (peer === undefined) {
      const remedy =
        "switch tx checksum offload off on the peer (ethtool -K PEER tx off), or expect partial ones";
      return finding(name, undefined, "the peer's namespace cannot be found", remedy);
    }
    const on = peer.ethtool.txChecksum;
    const detail = `peer "${peer.link.name}" ${on === true ? "leaves" : "does not leave"} checksums to the device`;
    return finding(
      name,
      on === undefined ? undefined : !on,
      detail,
      `ethtool -K ${peer.link.name} tx off, where it lives`,
    );
  }
  if (link.name === "lo") return finding(name, "no", "loopback never completes them");
  if (ethtool.driver?.driver === "virtio_net") {
    return finding(name, undefined, "a hypervisor may hand on what its own guests left incomplete");
  }
  if (link.kind === "" && link.mac.length > 0) return finding(name, "yes", "what comes off a wire is whole");
  if (link.kind === "") return finding(name, undefined, "nothing is known of this kind of interface");
  return finding(name, undefined, `a ${link.kind} hands on what its sender made`);
};

const interfaceFindings = (facts: InterfaceFacts, kernel: KernelVersion | undefined): Finding[] => {
  const { ethtool, link } = facts;
  const { driver } = ethtool;
  const bad = driverKnownBad(kernel, driverOf(facts));
  const hidden = hiddenQueues(driverOf(facts), ethtool.channels, possibleProcessors(), link.name);
  const zeroCopy = zeroCopyFinding(facts);
  // Where the driver does not tell, the list may know.
  const known = zeroCopy.answer === "unknown" && bad.some(({ name }) => name.startsWith(zeroCopy.name));
  return [
    finding(
      "driver",
      driver === undefined ? undefined : "yes",
      driver === undefined ? "not told" : driver.driver,
    ),
    finding(
      "link up",
      link.running,
      `${link.up ? "switched on" : "switched off"}, ${link.carrier ? "carrier" : "no carrier"}, operstate ${link.operstate}`,
      link.up ? "connect the other end, or switch it on" : `ip link set ${link.name} up`,
    ),
    queueFinding(facts),
    ...(hidden === undefined ? [] : [hidden]),
    nativeFinding(facts),
    ...(known ? [] : [zeroCopy]),
    ...bad,
    ...mtuFindings(facts, kernel),
    freeFinding(facts),
    checksumFinding(facts),
  ];
};

const probeInterface = (
  name: string,
  kernel: KernelVersion | undefined,
  modes: ProbeOptions["modes"],
): InterfaceReport => {
  const link = getLink(name);
  const facts: InterfaceFacts = {
    link,
    ethtool: ethtoolFacts(link.name),
    features: xdpFeatures(link.index),
    peer: peerOf(link),
  };
  return { ...facts, findings: interfaceFindings(facts, kernel), modes: modes?.(facts) ?? [] };
};

/**
 * Looks at the machine and, if one is named, at an interface. Throws SystemError for an interface or a namespace that
 * does not exist; everything else that cannot be known is an answer.
 */
export const probe = (interfaceName?: string, options: ProbeOptions = {}): ProbeReport => {
  const facts = machineFacts();
  return {
    facts,
    machine: machineFindings(facts),
    interface:
      interfaceName === undefined
        ? undefined
        : inNamespace(options.namespace, () => probeInterface(interfaceName, facts.kernel, options.modes)),
  };
};
