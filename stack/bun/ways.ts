/**
 * Where a socket's datagrams go, by the texts that programs name the other end with, under options that change.
 */
import type { Host } from "../ip/host.ts";
import { Remote } from "../udp/remote.ts";
import { MAX_REMEMBERED } from "../udp/socket.ts";
import type { Destination } from "../transport/network.ts";
import type { IpAddress } from "../wire/address.ts";
import { type End, reaches, tryReadEnd } from "./ends.ts";
import { argumentError, callError } from "./errors.ts";

/** The other end with what the sender must be allowed to do. */
export class Target extends Remote {
  /** True where everybody on a link would get it: SO_BROADCAST is needed. */
  readonly everybody: boolean;

  constructor(destination: Destination, port: number, everybody: boolean) {
    super(destination, port);
    this.everybody = everybody;
  }
}

/** Where datagrams to groups leave: the host's number of an interface, 0 for what routes say, and the address to send from. */
export interface GroupExit {
  readonly index: number;
  readonly source: IpAddress | undefined;
}

export const NO_EXIT: GroupExit = { index: 0, source: undefined };

/** The host's number of the interface of that name, 0 where there is none. */
export const indexNamed = (host: Host, name: string): number =>
  host.interfaces.find((one) => one.name === name)?.index ?? 0;

export class Ways {
  readonly #host: Host;
  readonly #own: End;
  #ttl: number | undefined;
  #multicastTtl = 1;
  #multicastLoopback = true;
  #exit = NO_EXIT;
  readonly #remembered = new Map<string, Target>();
  /** What the last one was asked for with: most programs send many datagrams to one end. */
  #lastAddress: string | undefined;
  #lastPort = 0;
  #last: Target | undefined;

  constructor(host: Host, own: End) {
    this.#host = host;
    this.#own = own;
  }

  set ttl(value: number) {
    this.#ttl = value;
    this.#forget();
  }

  set multicastTtl(value: number) {
    this.#multicastTtl = value;
    this.#forget();
  }

  set multicastLoopback(value: boolean) {
    this.#multicastLoopback = value;
    this.#forget();
  }

  set exit(value: GroupExit) {
    this.#exit = value;
    this.#forget();
  }

  /**
   * The way to an address and port. Throws a TypeError for what is no address, and the error of `send` where a socket of this
   * family and address cannot reach it. Short forms of inet_aton as "10.1" are no addresses here.
   */
  to(address: string, port: number): Target {
    if (address === this.#lastAddress && port === this.#lastPort) return this.#last!;
    const key = `${port} ${address}`;
    let target = this.#remembered.get(key);
    if (target === undefined) {
      const end = tryReadEnd(address);
      if (end === undefined) throw argumentError("Invalid address");
      if (!reaches(this.#own, end))
        throw callError(this.#own.family === 4 ? "EAFNOSUPPORT" : "ENETUNREACH", "send");
      target = this.find(end, port);
      // Forgetting all at once is simpler than an order of use, and as bounded.
      if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
      this.#remembered.set(key, target);
    }
    this.#lastAddress = address;
    this.#lastPort = port;
    this.#last = target;
    return target;
  }

  /** The same without remembering it, from the address that the socket is bound to or `source`. */
  find({ address, zone }: End, port: number, source?: IpAddress): Target {
    const own = this.#own.address;
    const bound = source ?? (own.unspecified || own.multicast ? undefined : own);
    const { multicast } = address;
    const exit = multicast ? this.#exit : NO_EXIT;
    const destination = this.#host.network.destination(address, {
      source: bound ?? exit.source,
      // Bun goes by the route where there is no interface of that name, and so does this.
      interface: indexNamed(this.#host, zone ?? this.#own.zone ?? "") || exit.index,
      ttl: multicast ? this.#multicastTtl : this.#ttl,
      loopback: this.#multicastLoopback,
    });
    return new Target(destination, port, this.#isEverybody(address));
  }

  #isEverybody(address: IpAddress): boolean {
    if (address.family !== 4) return false;
    return (
      address.limitedBroadcast ||
      this.#host.interfaces.some(({ addresses }) => addresses.isBroadcast4(address.w3))
    );
  }

  #forget(): void {
    this.#remembered.clear();
    this.#lastAddress = undefined;
    this.#last = undefined;
  }
}
