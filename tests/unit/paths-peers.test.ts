/** Stations on the link as peers: a path over each interface that reaches them, and none where all of those are dead. */
import { describe, expect, test } from "bun:test";
import { MAX_PEERS } from "../../stack/ip/paths/peers.ts";
import { REFUSED } from "../../stack/transport/network.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { HostLab } from "../support/host-lab.ts";
import { Oracle, told, pathEvents } from "../support/two-links.ts";

const PEER = "10.0.0.9";
const PEER6 = "2001:db8::9";

/** A host with two interfaces in one network, as on one switch. */
const segment = (lab: HostLab) => {
  const host = lab.host();
  const events = pathEvents(lab, host);
  const one = lab.attach(host, {
    name: "eth0",
    addresses: ["10.0.0.1/24", "2001:db8::1/64"],
    linkLocal: false,
  });
  const two = lab.attach(host, { name: "eth1", addresses: ["10.0.0.2/24"], linkLocal: false });
  events.length = 0;
  return { host, one, two, events };
};

const way = (host: ReturnType<typeof segment>["host"], to: string): string | number => {
  const destination = host.network.destination(IpAddress.parse(to));
  const refused = destination.prepare();
  return refused === 0 ? destination.interface!.name : refused;
};

describe("a peer", () => {
  test("has a path over every interface of its network, and loses them with it", () => {
    using lab = new HostLab();
    const { host, events } = segment(lab);
    const peer = host.paths.peer(PEER);
    expect(events.map(told)).toEqual(["eth0 via 10.0.0.9 up: new", "eth1 via 10.0.0.9 up: new"]);
    expect(peer.paths.map(String)).toEqual(["eth0 via 10.0.0.9", "eth1 via 10.0.0.9"]);
    const same = host.paths.peer(IpAddress.parse(PEER));
    const six = host.paths.peer(PEER6);
    expect(six.paths.map(String)).toEqual(["eth0 via 2001:db8::9"]);
    peer.close();
    peer.close();
    expect(peer.paths).toEqual([]);
    expect(same.paths).toHaveLength(2);
    expect(host.routes.all().filter(({ origin }) => origin === "peer")).toHaveLength(3 + 2);
    same.close();
    six.close();
    expect(host.routes.all().filter(({ origin }) => origin === "peer")).toEqual([]);
  });

  test("is reached over whichever lives, and over none where all are dead", () => {
    using lab = new HostLab();
    const { host } = segment(lab);
    using peer = host.paths.peer(PEER);
    const oracles = peer.paths.map((path) => {
      const oracle = new Oracle("neighbour", "up");
      host.paths.watch(path, oracle);
      return oracle;
    });
    expect(way(host, PEER)).toBe("eth0");
    oracles[0]!.say("down");
    expect(way(host, PEER)).toBe("eth1");
    oracles[1]!.say("down");
    // The network that it is in would lead over a dead path.
    expect(way(host, PEER)).toBe(REFUSED.noRoute);
    expect(way(host, "10.0.0.10")).toBe("eth0");
    oracles[1]!.say("up");
    expect(peer.paths.map(({ state }) => state)).toEqual(["down", "verifying"]);
    expect(way(host, PEER)).toBe("eth1");
  });

  test("is followed by interfaces that come and go, and so are its monitors", () => {
    using lab = new HostLab();
    const { host, one, two } = segment(lab);
    using peer = host.paths.peer(PEER);
    const oracle = new Oracle();
    using _watch = host.paths.watch(peer.paths[0]!, oracle);
    host.leave(one.on);
    expect(peer.paths.map(String)).toEqual(["eth1 via 10.0.0.9"]);
    expect(oracle.closes).toBe(1);
    host.join(one.device, { name: "eth0", addresses: ["10.0.0.1/24"], linkLocal: false, dad: false });
    expect(peer.paths.map(String)).toEqual(["eth1 via 10.0.0.9", "eth0 via 10.0.0.9"]);
    expect(oracle.path).toBe(peer.paths[1]!);
    two.on.addresses.remove(IpAddress.parse("10.0.0.2"));
    expect(peer.paths.map(String)).toEqual(["eth0 via 10.0.0.9"]);
  });

  test("may be of named interfaces alone, which need no network of its own, nor be there yet", () => {
    using lab = new HostLab();
    const { host, two } = segment(lab);
    using peer = host.paths.peer("10.77.0.9", ["eth1", "eth2"]);
    expect(peer.paths.map(String)).toEqual(["eth1 via 10.77.0.9"]);
    lab.attach(host, { name: "eth2", linkLocal: false });
    expect(peer.paths.map(String)).toEqual(["eth1 via 10.77.0.9", "eth2 via 10.77.0.9"]);
    using by = host.paths.peer("10.77.0.8", [two.on.index]);
    expect(by.paths.map(String)).toEqual(["eth1 via 10.77.0.8"]);
  });

  test("is one of so many", () => {
    using lab = new HostLab();
    const { host } = segment(lab);
    for (let i = 0; i < MAX_PEERS; i++) host.paths.peer(IpAddress.v4(0x0a01_0000 + i));
    expect(() => host.paths.peer(PEER)).toThrow(`at most ${MAX_PEERS} peers`);
    for (const wrong of ["0.0.0.0", "127.0.0.1", "ff02::1"])
      expect(() => host.paths.peer(wrong)).toThrow("no station");
  });
});
