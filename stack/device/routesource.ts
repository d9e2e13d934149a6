/**
 * The seam between the host and an operating system beside it: its addresses, routes and neighbours as changes. Types only.
 *
 * Addresses are 4 or 16 bytes, Ethernet addresses 6. Interfaces are the system's own numbers (ifindex).
 */

/** Something with descriptors that a loop asks in its turns. */
export interface EventSource {
  /** For reports of errors. */
  readonly name: string;
  /** Descriptors that become readable when `take` has work; they end a sleep of the loop. */
  readonly fds: readonly number[];
  /** Handles what is there, bounded; returns how many events that was. Never blocks. */
  take(): number;
}

/** Where a packet goes next on one way of a route. */
export interface SystemHop {
  /** Undefined where the destination is on the link itself. */
  readonly gateway: Uint8Array | undefined;
  readonly interface: number;
  /** Share of the traffic beside other hops, 1 to 256. */
  readonly weight: number;
}

export type SystemNeighbourState =
  "incomplete" | "reachable" | "stale" | "delay" | "probe" | "failed" | "permanent";

/** One difference; `present: false` takes back what was told with the same key (interface and address, or prefix and metric). */
export type SystemChange =
  | {
      readonly kind: "address";
      readonly present: boolean;
      readonly interface: number;
      readonly address: Uint8Array;
      readonly prefixLength: number;
      /** Duplicate address detection has not ended yet, or found one. */
      readonly tentative: boolean;
      readonly deprecated: boolean;
      /** IFA_F_TEMPORARY: a privacy address (RFC 8981). */
      readonly temporary: boolean;
    }
  | {
      readonly kind: "route";
      readonly present: boolean;
      readonly destination: Uint8Array;
      readonly prefixLength: number;
      readonly type:
        "unicast" | "local" | "broadcast" | "multicast" | "blackhole" | "unreachable" | "prohibit";
      readonly metric: number;
      /** The address to send from where the route names one. */
      readonly source: Uint8Array | undefined;
      /** Bytes, where the route names one. */
      readonly mtu: number | undefined;
      readonly hops: readonly SystemHop[];
    }
  | {
      readonly kind: "neighbour";
      readonly present: boolean;
      readonly interface: number;
      readonly address: Uint8Array;
      readonly mac: Uint8Array | undefined;
      readonly state: SystemNeighbourState;
      readonly router: boolean;
    };

/** A port that the system gives to nobody else until it is released. */
export interface Reservation {
  readonly port: number;
  /** Idempotent. */
  release(): void;
}

/** An ICMP error that the system heard about a UDP datagram from a reserved port: ICMPv6's where addresses have 16 bytes. */
export interface SystemSoftError {
  readonly type: number;
  readonly code: number;
  /** Bytes that the path carries, where the error is about that; else 0. */
  readonly mtu: number;
  /** Who sent it; undefined where the system does not say. */
  readonly reporter: Uint8Array | undefined;
  readonly local: Uint8Array;
  readonly localPort: number;
  readonly remote: Uint8Array;
  readonly remotePort: number;
}

/** Keeps ports from the programs of an operating system, and hears what ICMP says of them. */
export interface PortKeeper {
  /** Readable while `nextError` may have something. */
  readonly errorFds: readonly number[];
  /**
   * Keeps a UDP port of an address (4 or 16 bytes; all addresses of both families if undefined) on one interface from the system's own
   * programs. Undefined where somebody has it.
   */
  reserve(address: Uint8Array | undefined, port: number, interfaceIndex: number): Reservation | undefined;
  /** The next error about a reserved port; undefined where none is known. Never blocks. */
  nextError(): SystemSoftError | undefined;
}

/** What an operating system beside the host knows, mirrored. */
export interface RouteSource {
  readonly fds: readonly number[];
  /** The next difference to what was told before, undefined where nothing new is known. Never blocks. */
  next(): SystemChange | undefined;
  /** Asks the system to find out, or confirm, a neighbour's Ethernet address; the answer comes as a change. */
  resolve(interfaceIndex: number, address: Uint8Array): void;
  /**
   * Asks the system to ask a neighbour that it knows, at once, whether it is still there, however sure it is: the answer comes
   * as a change to "reachable", also where it was that before, or "failed". False where it can't.
   */
  probe?(interfaceIndex: number, address: Uint8Array): boolean;
  /** Has the system join a group (4 or 16 bytes) on an interface, so that routers and the card let its packets through. */
  joinGroup(interfaceIndex: number, group: Uint8Array): void;
  leaveGroup(interfaceIndex: number, group: Uint8Array): void;
  /** Idempotent. */
  close(): void;
}
