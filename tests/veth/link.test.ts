/** Links as netlink and ethtool tell of them equal what `ip` and `ethtool` print, and every change of one is told. */
import { describe, expect, test } from "bun:test";
import { ethtoolFacts, rxQueueCount, txQueueCount } from "../../ffi/net/ethtool.ts";
import { LinkWatcher, type LinkChange } from "../../ffi/net/link-watcher.ts";
import { getLink, listLinks } from "../../ffi/net/link.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import { NetlinkSocket } from "../../ffi/net/netlink.ts";
import { peerOf } from "../../ffi/net/peer.ts";
import { xdpFeatures } from "../../ffi/net/xdp-features.ts";
import { SystemError } from "../../ffi/sys/errno.ts";
import { isAtLeast, kernelVersion } from "../../ffi/sys/machine.ts";
import { compilePass, hasBpfCompiler } from "../support/bpf-object.ts";
import { Lab, openFds, until, type LabOptions } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly max_mtu: number;
  readonly operstate: string;
  readonly flags: readonly string[];
  readonly num_rx_queues: number;
  readonly num_tx_queues: number;
  readonly link_index?: number;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly xdp?: { readonly prog?: { readonly id: number }; readonly mode: number };
}

const ip = (lab: Lab, command: string): string => lab.exec("b", ["ip", ...command.split(" ")]).stdout;

const ipLink = (lab: Lab, name: string): IpLink =>
  (JSON.parse(ip(lab, `-j -d link show ${name}`)) as IpLink[])[0]!;

const ours = (lab: Lab, name: string) => inNamespace(lab.namespace("b"), () => getLink(name));

const colons = (mac: Uint8Array): string =>
  [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");

const expectSame = (lab: Lab, name: string): void => {
  const theirs = ipLink(lab, name);
  const link = ours(lab, name);
  expect({ ...link, mac: colons(link.mac), xdp: undefined }).toEqual({
    index: theirs.ifindex,
    name: theirs.ifname,
    mac: theirs.address,
    mtu: theirs.mtu,
    maxMtu: theirs.max_mtu,
    up: theirs.flags.includes("UP"),
    carrier: theirs.flags.includes("LOWER_UP"),
    running: theirs.flags.includes("UP") && ["UP", "UNKNOWN"].includes(theirs.operstate),
    operstate: theirs.operstate.toLowerCase() as "up",
    carrierLosses: link.carrierLosses,
    kind: theirs.linkinfo?.info_kind ?? "",
    rxQueues: theirs.num_rx_queues,
    txQueues: theirs.num_tx_queues,
    lowerIndex: theirs.link_index ?? 0,
    lowerNamespaceId: name === "lo" ? undefined : link.lowerNamespaceId,
    xdp: undefined,
  });
};

/** Current settings of `ethtool -l`; "n/a" is 0. */
const ethtoolChannels = (lab: Lab): Record<string, number> => {
  const [, current = ""] = lab.exec("b", ["ethtool", "-l", "vb"]).stdout.split("Current hardware settings:");
  const lines = [...current.matchAll(/^(\w+):\s+(\S+)$/gm)];
  return Object.fromEntries(lines.map(([, key, value]) => [key!, value === "n/a" ? 0 : Number(value)]));
};

/** Everything a watcher has to tell now. */
const drain = (watcher: LinkWatcher): LinkChange[] => {
  const changes: LinkChange[] = [];
  for (let change = watcher.take(); change !== undefined; change = watcher.take()) changes.push(change);
  return changes;
};

const watch = (lab: Lab, options = {}): LinkWatcher =>
  inNamespace(lab.namespace("b"), () => new LinkWatcher(getLink(lab.b.index), options));

const next = (watcher: LinkWatcher, what: string): Promise<LinkChange> => until(what, () => watcher.take());

describe.skipIf(skipWithoutLab(Lab.unavailable()))("links", () => {
  const shapes: LabOptions[] = [
    {},
    { queues: 4, mtu: 9000 },
    { queues: { a: 2, b: 3 }, mtu: 576, offloads: false },
  ];
  test.each(shapes)("facts equal those of ip and ethtool: %j", (shape) => {
    using lab = Lab.create(shape);
    expectSame(lab, "vb");
    expectSame(lab, "lo");
    ip(lab, "link set dev vb down");
    expectSame(lab, "vb");
    const counts = inNamespace(lab.namespace("b"), () => ethtoolFacts("vb").channels);
    const theirs = ethtoolChannels(lab);
    expect(counts).toMatchObject({ rx: theirs.RX!, tx: theirs.TX!, combined: theirs.Combined! });
    expect(rxQueueCount(counts)).toBe(
      typeof shape.queues === "object" ? shape.queues.b : (shape.queues ?? 1),
    );
    expect(txQueueCount(counts)).toBe(theirs.TX!);
    const facts = inNamespace(lab.namespace("b"), () => ethtoolFacts("vb"));
    const features = lab.exec("b", ["ethtool", "-k", "vb"]).stdout;
    expect(facts.txChecksum).toBe(features.includes("tx-checksumming: on"));
    expect(facts.rxChecksum).toBe(features.includes("rx-checksumming: on"));
    expect(facts.driver?.driver).toBe("veth");
  });

  test("carrier goes when the peer goes down", () => {
    using lab = Lab.create();
    lab.exec("a", ["ip", "link", "set", "dev", "va", "down"]);
    expect(ours(lab, "vb")).toMatchObject({ up: true, carrier: false });
    expectSame(lab, "vb");
  });

  test("the whole list, by index, and by an alternative name", () => {
    using lab = Lab.create({ pairs: 3 });
    ip(lab, "link property add dev vb1 altname an-alternative-name");
    inNamespace(lab.namespace("b"), () => {
      expect(listLinks().map((link) => link.name)).toEqual(["lo", "vb0", "vb1", "vb2"]);
      expect(getLink(lab.pairs[2]!.b.index).name).toBe("vb2");
      expect(getLink("an-alternative-name").index).toBe(lab.pairs[1]!.b.index);
    });
  });

  test("a driver that does not answer is an answer", () => {
    using lab = Lab.create();
    const facts = inNamespace(lab.namespace("b"), () => ethtoolFacts("lo"));
    expect(facts).toMatchObject({ driver: undefined, channels: undefined });
    expect(rxQueueCount(facts.channels)).toBe(1);
  });

  test("no such interface: ENODEV with a remedy; no such name: RangeError", () => {
    expect(() => getLink("nosuchlink")).toThrow(/cannot find interface "nosuchlink": ENODEV: .*`ip link`/);
    expect(() => getLink(2 ** 31 - 1)).toThrow(SystemError);
    expect(() => ethtoolFacts("nosuchlink")).toThrow(/"nosuchlink".*: ENODEV/);
    for (const bad of ["", "x y", "a/b", 0, -1, 1.5]) expect(() => getLink(bad)).toThrow(RangeError);
    for (const bad of ["", "x y", "sixteencharacter"]) expect(() => ethtoolFacts(bad)).toThrow(RangeError);
  });

  test("the kernel's own words come along with a refusal", () => {
    using socket = new NetlinkSocket();
    const bad = new Uint8Array(16).fill(0xff, 8, 12);
    const ask = () => socket.request({ operation: "list nonsense", type: 18, flags: 0x300, body: bad });
    expect(ask).toThrow("Invalid values in header for link dump request");
  });

  test("what the driver can do with XDP: veth natively where its queues suffice, lo not", () => {
    using lab = Lab.create({ queues: { a: 3, b: 2 } });
    const [a, b] = [lab.a, lab.b].map((end) => inNamespace(end.namespace, () => xdpFeatures(end.index)));
    const kernel = kernelVersion();
    if (kernel !== undefined && !isAtLeast(kernel, 6, 3)) {
      // Nobody can be asked there, and that is an answer.
      expect([a, b, xdpFeatures(1)]).toEqual([undefined, undefined, undefined]);
      return;
    }
    expect(a).toEqual({ native: true, redirect: true, zeroCopy: false, multiBuffer: true });
    expect(b).toMatchObject({ native: false, zeroCopy: false });
    expect(xdpFeatures(1)).toMatchObject({ native: false });
  });

  test("the other end of a veth is found in its namespace", () => {
    using lab = Lab.create({ queues: { a: 2, b: 4 } });
    const peer = inNamespace(lab.namespace("b"), () => peerOf(getLink("vb")));
    expect(peer?.link).toMatchObject({ name: "va", index: lab.a.index, lowerIndex: lab.b.index });
    expect(peer?.ethtool.channels?.tx).toBe(2);
    expect(peer?.namespace).toBe(`/run/netns/${lab.namespace("a")}`);
    expect(peerOf(getLink("lo"))).toBeUndefined();
    ip(lab, "link add here1 type veth peer name here2");
    expect(inNamespace(lab.namespace("b"), () => peerOf(getLink("here1")))).toMatchObject({
      link: { name: "here2" },
      namespace: undefined,
    });
  });
});

const compiler = skipUnless(hasBpfCompiler(), "needs clang for a BPF object", { couldRun: true });
describe.skipIf(compiler || skipWithoutLab(Lab.unavailable()))("attached programs", () => {
  test.each(["native", "generic"] as const)("a program attached by ip, %s", (mode) => {
    using lab = Lab.create();
    using program = compilePass();
    const word = mode === "native" ? "xdpdrv" : "xdpgeneric";
    ip(lab, `link set dev vb ${word} object ${program.file} section xdp`);
    const id = ipLink(lab, "vb").xdp?.prog?.id;
    expect(id).toBeGreaterThan(0);
    expect(ours(lab, "vb").xdp).toEqual([{ mode, id: id! }]);
    ip(lab, `link set dev vb ${word} off`);
    expect(ours(lab, "vb").xdp).toEqual([]);
  });
});

describe.skipIf(skipWithoutLab(Lab.unavailable()))("link watcher", () => {
  test("nothing happened: nothing is told, and the descriptor is not readable for other links", () => {
    using lab = Lab.create();
    using watcher = watch(lab);
    ip(lab, "link set dev lo mtu 1234");
    expect(drain(watcher)).toEqual([]);
    expect(watcher.fd).toBeGreaterThan(2);
  });

  test("down, up, MTU, address, name: each told once, in order", async () => {
    using lab = Lab.create();
    using watcher = watch(lab);
    ip(lab, "link set dev vb down");
    expect(drain(watcher)).toEqual([{ kind: "down" }]);
    ip(lab, "link set dev vb up");
    expect(await next(watcher, "up")).toEqual({ kind: "up" });
    ip(lab, "link set dev vb mtu 1400");
    ip(lab, "link set dev vb mtu 1300");
    expect(drain(watcher)).toEqual([
      { kind: "mtu", mtu: 1400 },
      { kind: "mtu", mtu: 1300 },
    ]);
    ip(lab, "link set dev vb address 02:00:00:00:99:99");
    expect(drain(watcher)).toEqual([{ kind: "address", mac: Uint8Array.of(2, 0, 0, 0, 0x99, 0x99) }]);
    ip(lab, "link set dev vb down");
    ip(lab, "link set dev vb name renamed0");
    expect(drain(watcher)).toEqual([{ kind: "down" }, { kind: "renamed", name: "renamed0" }]);
    expect(ours(lab, "renamed0").mtu).toBe(1300);
  });

  test("the peer's end of the cable counts", async () => {
    using lab = Lab.create();
    using watcher = watch(lab);
    lab.exec("a", ["ip", "link", "set", "dev", "va", "down"]);
    expect(await next(watcher, "down")).toEqual({ kind: "down" });
    lab.exec("a", ["ip", "link", "set", "dev", "va", "up"]);
    expect(await next(watcher, "up")).toEqual({ kind: "up" });
  });

  test("deleted and moved are both gone, for good, with different reasons", () => {
    using deleted = Lab.create();
    using one = watch(deleted);
    deleted.exec("a", ["ip", "link", "del", "dev", "va"]);
    expect(drain(one).at(-1)).toEqual({ kind: "gone", reason: "it was deleted" });

    using moved = Lab.create();
    using other = watch(moved);
    ip(moved, `link set dev vb netns ${moved.namespace("a")}`);
    const last = drain(other).at(-1);
    expect(last?.kind).toBe("gone");
    expect(last?.kind === "gone" && last.reason).toStartWith("it was moved to another network namespace");
    moved.exec("a", ["ip", "link", "set", "dev", "vb", "netns", moved.namespace("b")]);
    expect(drain(other)).toEqual([]);
  });

  test("leaving a bridge is not the end", () => {
    using lab = Lab.create();
    ip(lab, "link add br0 type bridge");
    ip(lab, "link set dev vb master br0");
    using watcher = watch(lab);
    ip(lab, "link set dev vb nomaster");
    expect(drain(watcher).filter((change) => change.kind === "gone")).toEqual([]);
  });

  test("a state given by the caller is compared with the present one", () => {
    using lab = Lab.create();
    const before = ours(lab, "vb");
    ip(lab, "link set dev vb mtu 1280");
    using watcher = inNamespace(lab.namespace("b"), () => new LinkWatcher(before));
    expect(drain(watcher)).toEqual([{ kind: "mtu", mtu: 1280 }]);
    ip(lab, "link del dev vb");
    using late = inNamespace(lab.namespace("b"), () => new LinkWatcher(before));
    expect(drain(late).map((change) => change.kind)).toEqual(["gone"]);
    expect(() => watch(lab)).toThrow(/ENODEV/);
  });

  /** So small that the kernel rounds it up to its minimum, which holds one or two notifications. */
  const TINY = { receiveBufferBytes: 1 };

  test("a carrier that was lost and came back between two looks is told of as both", async () => {
    using lab = Lab.create();
    const carrier = async (up: boolean): Promise<void> => {
      lab.exec("a", ["ip", "link", "set", "dev", "va", up ? "up" : "down"]);
      await until("the kernel to say so", () => ours(lab, "vb").running === up);
    };
    const before = ours(lab, "vb");
    await carrier(false);
    await carrier(true);
    expect(ours(lab, "vb")).toMatchObject({ running: true, carrierLosses: before.carrierLosses + 1 });
    using watcher = inNamespace(lab.namespace("b"), () => new LinkWatcher(before));
    expect(drain(watcher)).toEqual([{ kind: "down" }, { kind: "up" }]);
    // The same where it is told as it happens, once.
    await carrier(false);
    await carrier(true);
    expect(drain(watcher)).toEqual([{ kind: "down" }, { kind: "up" }]);
  });

  test("after an overrun the present state is told: nothing is lost but the way", () => {
    using lab = Lab.create();
    using watcher = watch(lab, TINY);
    const lines = Array.from({ length: 40 }, (_, i) => `link set dev vb mtu ${1000 + i}`);
    lab.exec("b", ["ip", "-batch", "-"], { stdin: [...lines, "link set dev vb down"].join("\n") });
    const changes = drain(watcher);
    expect(watcher.overruns).toBeGreaterThan(0);
    expect(changes.filter((change) => change.kind === "mtu").at(-1)).toEqual({ kind: "mtu", mtu: 1039 });
    expect(changes.filter((change) => change.kind === "down")).toHaveLength(1);
    expect(changes.length).toBeLessThan(40);
  });

  test("an overrun that swallowed the end still ends it, wherever the thread is", () => {
    using lab = Lab.create();
    using watcher = watch(lab, TINY);
    const lines = Array.from({ length: 40 }, (_, i) => `link set dev vb mtu ${1000 + i}`);
    lab.exec("b", ["ip", "-batch", "-"], { stdin: [...lines, "link del dev vb"].join("\n") });
    expect(drain(watcher).at(-1)).toEqual({
      kind: "gone",
      reason: "it was deleted or moved to another network namespace",
    });
  });

  test("a flood about other links is read in bounded steps and loses nothing", () => {
    using lab = Lab.create({ pairs: 2 });
    using watcher = inNamespace(lab.namespace("b"), () => new LinkWatcher(getLink(lab.pairs[0]!.b.index)));
    const lines = Array.from({ length: 60 }, (_, i) => `link set dev vb1 mtu ${1000 + i}`);
    lab.exec("b", ["ip", "-batch", "-"], { stdin: [...lines, "link set dev vb0 mtu 1111"].join("\n") });
    const first = watcher.take();
    expect(first).toBeUndefined();
    const told = Array.from({ length: 10 }, () => watcher.take()).filter((change) => change !== undefined);
    expect(told).toEqual([{ kind: "mtu", mtu: 1111 }]);
  });

  test("closed twice, told nothing; 200 of them leave no descriptor", () => {
    using lab = Lab.create();
    const before = openFds();
    for (let i = 0; i < 200; i++) {
      const watcher = watch(lab);
      watcher.close();
      watcher.close();
      expect(watcher.take()).toBeUndefined();
      expect(watcher.fd).toBe(-1);
    }
    expect(openFds()).toBeLessThanOrEqual(before);
  });
});
