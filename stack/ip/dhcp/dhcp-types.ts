/**
 * What a DHCP client is given and what it tells: its io, its options, its states and counters. Types only.
 */
import type { IpAddress } from "../../wire/address.ts";
import type { DhcpLease } from "./dhcp-lease.ts";
import type { Outlet } from "../environment.ts";

/** The states of RFC 2131 figure 5; "checking" is between its acknowledgement and BOUND, "stopped" is none of them. */
export type DhcpState =
  | "stopped"
  | "init"
  | "selecting"
  | "rebooting"
  | "requesting"
  | "checking"
  | "bound"
  | "renewing"
  | "rebinding";

/** Why a lease is not ours any more: its time, the server's word, a conflict, or our own. */
export type LeaseEnd = "expired" | "refused" | "conflict" | "released" | "stopped";

export interface DhcpIo {
  readonly outlet: Outlet;
  /** Finds out whether another host has the address (RFC 5227 probes), and calls `done` once. */
  check(address: IpAddress, done: (conflict: boolean) => void): void;
  /** Sends a datagram from the leased address, port 68, to a server's port 67, at once. False where it cannot. */
  unicast(payload: Uint8Array, server: IpAddress): boolean;
  /** A lease begins, or goes on after `previous`, which it replaces in everything. */
  configured(lease: DhcpLease, previous: DhcpLease | undefined): void;
  /** The lease is over: address and routes go. */
  lost(lease: DhcpLease, reason: LeaseEnd): void;
}

export interface DhcpOptions {
  /**
   * Who we are to the server. Default: "hardware", the Ethernet address, which reservations go by; "duid" is RFC 4361's;
   * bytes are taken as they are, type included, 2 to 255 of them.
   */
  readonly identifier?: "hardware" | "duid" | Uint8Array;
  /** Sent for the server's DNS. Default: none. */
  readonly hostName?: string;
  /** Codes of options to ask for. Default: `PARAMETERS` of dhcp-times.ts. */
  readonly parameters?: readonly number[];
  /** Asks for broadcast answers, which arrive before any address is configured. Default: true. */
  readonly broadcast?: boolean;
  /** The first message waits for up to so many ms. Default: `START_DELAY_MS` of dhcp-times.ts. */
  readonly startDelayMs?: number;
}

export interface DhcpStatistics {
  readonly state: DhcpState;
  readonly sent: number;
  /** Messages that could not be sent. */
  readonly unsent: number;
  readonly received: number;
  /** Messages that are no DHCP, or lack what they need. */
  readonly malformed: number;
  /** Replies to others, or to what was asked before. */
  readonly foreign: number;
  /** Replies that the state does not wait for, or of another server or address than asked. */
  readonly unexpected: number;
  /** Acknowledgements taken. */
  readonly acknowledged: number;
  readonly refused: number;
  readonly declined: number;
  readonly expired: number;
  /** Requests given up for want of an answer. */
  readonly unanswered: number;
}
