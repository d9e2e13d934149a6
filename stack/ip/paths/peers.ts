/**
 * Stations on the link that are worth a path each: host routes over every interface that reaches them, kept as interfaces and
 * addresses come and go.
 */
import { Prefix } from "../../wire/prefix.ts";
import type { IpAddress } from "../../wire/address.ts";
import type { Interface } from "../interface.ts";
import type { Route, RouteTable } from "../routes/routes.ts";
import type { Path } from "./path.ts";

/** Peers of one host; each has a route an interface. */
export const MAX_PEERS = 1024;
/** As good as a network that we are in, which has a shorter prefix. */
const METRIC = 0;
/** Behind every route of the same address. */
const LAST_METRIC = 0xffff_ffff;
const ANY_INTERFACE = 0;
const WHOLE = { 4: 32, 6: 128 } as const;

/** Host routes to a station on the link, over each of several interfaces. */
export interface PathPeer {
  readonly address: IpAddress;
  /** The paths to it that there are now, one an interface. */
  readonly paths: readonly Path[];
  /** Takes the routes back. Idempotent. */
  close(): void;
  [Symbol.dispose](): void;
}

export interface PeersIo {
  readonly routes: RouteTable;
  interfaces(): Iterable<Interface>;
  /** The path to whom `gateway` is, over an interface. */
  pathTo(interfaceIndex: number, gateway: IpAddress): Path | undefined;
}

class Peer implements PathPeer {
  readonly address: IpAddress;
  /** Names and numbers; undefined for all that reach it. */
  readonly wanted: ReadonlySet<string | number> | undefined;
  /** Numbers of the interfaces that it has a route over. */
  readonly over = new Set<number>();
  readonly #peers: Peers;

  constructor(peers: Peers, address: IpAddress, wanted: ReadonlySet<string | number> | undefined) {
    this.#peers = peers;
    this.address = address;
    this.wanted = wanted;
  }

  get paths(): readonly Path[] {
    return this.#peers.pathsOf(this);
  }

  /** Whether it is to have a route over an interface. */
  wants(on: Interface): boolean {
    if (on.isLoopback) return false;
    if (this.wanted !== undefined) return this.wanted.has(on.name) || this.wanted.has(on.index);
    const { address } = this;
    for (const { prefix, state } of on.addresses.values()) {
      const assigned = state === "preferred" || state === "deprecated";
      if (assigned && prefix.length < WHOLE[address.family] && prefix.contains(address)) return true;
    }
    return false;
  }

  close(): void {
    this.#peers.end(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export class Peers {
  readonly #io: PeersIo;
  readonly #peers = new Set<Peer>();
  /** How many peers share a route, by address and interface. */
  readonly #shares = new Map<string, number>();

  constructor(io: PeersIo) {
    this.#io = io;
  }

  /** Throws a RangeError where there are too many, a TypeError for what is no station. */
  add(address: IpAddress, interfaces: readonly (string | number)[] | undefined): PathPeer {
    if (address.multicast || address.unspecified || address.loopback)
      throw new TypeError(`${address.toString()} is no station on a link`);
    if (this.#peers.size >= MAX_PEERS) throw new RangeError(`a host has at most ${MAX_PEERS} peers`);
    const peer = new Peer(this, address, interfaces === undefined ? undefined : new Set(interfaces));
    this.#peers.add(peer);
    // Where all ways to it are dead, the network that it is in leads over one of them nevertheless.
    this.#take(peer, ANY_INTERFACE);
    for (const on of this.#io.interfaces()) this.#follow(peer, on);
    return peer;
  }

  /** An interface came, or has other addresses. */
  changed(on: Interface): void {
    for (const peer of [...this.#peers]) this.#follow(peer, on);
  }

  /** An interface leaves. */
  left(interfaceIndex: number): void {
    for (const peer of [...this.#peers]) this.#give(peer, interfaceIndex);
  }

  pathsOf(peer: Peer): readonly Path[] {
    const paths = [...peer.over].map((index) => this.#io.pathTo(index, peer.address));
    return paths.filter((path) => path !== undefined);
  }

  end(peer: Peer): void {
    if (!this.#peers.delete(peer)) return;
    for (const index of [...peer.over]) this.#give(peer, index);
  }

  close(): void {
    for (const peer of [...this.#peers]) this.end(peer);
  }

  #follow(peer: Peer, on: Interface): void {
    if (peer.wants(on)) this.#take(peer, on.index);
    else this.#give(peer, on.index);
  }

  #take(peer: Peer, interfaceIndex: number): void {
    if (peer.over.has(interfaceIndex)) return;
    peer.over.add(interfaceIndex);
    const key = `${peer.address.toString()} ${interfaceIndex}`;
    const shares = this.#shares.get(key) ?? 0;
    this.#shares.set(key, shares + 1);
    if (shares === 0) this.#io.routes.add(routeTo(peer.address, interfaceIndex));
  }

  #give(peer: Peer, interfaceIndex: number): void {
    if (!peer.over.delete(interfaceIndex)) return;
    const key = `${peer.address.toString()} ${interfaceIndex}`;
    const shares = this.#shares.get(key)! - 1;
    if (shares > 0) return void this.#shares.set(key, shares);
    this.#shares.delete(key);
    const { prefix, metric } = routeTo(peer.address, interfaceIndex);
    this.#io.routes.remove({ prefix, metric, interface: interfaceIndex, origin: "peer" });
  }
}

const routeTo = (address: IpAddress, interfaceIndex: number): Route => ({
  prefix: Prefix.of(address, WHOLE[address.family]),
  interface: interfaceIndex,
  origin: "peer",
  ...(interfaceIndex === ANY_INTERFACE
    ? { kind: "unreachable", metric: LAST_METRIC }
    : { kind: "unicast", metric: METRIC, gateway: address }),
});
