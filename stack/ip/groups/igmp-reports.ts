/**
 * IGMP as the group reporter speaks and hears it: IGMPv3 (RFC 3376 section 4), version 2 (RFC 2236) and 1 (RFC 1112).
 */
import { ALL_HOSTS4, ANY4, IGMP_ROUTERS4, IpAddress } from "../../wire/address.ts";
import { ETHERTYPE } from "../../wire/ethernet.ts";
import * as igmp from "../../wire/igmp.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import { multicastMac } from "../../wire/mac.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import type { Outlet } from "../environment.ts";
import type { ReportSender } from "./group-reporter.ts";
import {
  judgeQuery,
  packRecords,
  wireRecord,
  type GroupMessage,
  type GroupRefusal,
} from "./group-reports.ts";
import type { GroupRecord } from "./group-state.ts";
import type { Dialect } from "./older-queriers.ts";

/** Where a version 2 host says that it leaves: all routers on the link (RFC 2236 section 9). */
const ALL_ROUTERS4 = IpAddress.parse("224.0.0.2");
/** Messages go no further than the link: RFC 3376 section 4. */
const LINK_TTL = 1;
/** Precedence Internetwork Control, 0xc0 as a type of service: RFC 3376 section 4. */
const CONTROL_DSCP = 0xc0 >> 2;
/** "Every router shall examine this packet": RFC 2113. */
const ROUTER_ALERT: ipv4.Ipv4Option = { type: ipv4.OPTION.ROUTER_ALERT, data: new Uint8Array(2) };
const ALERTED_HEADER_BYTES = ipv4.HEADER_BYTES + ipv4.optionsLength([ROUTER_ALERT]);
/** 224.0.0.0/24: a router never forwards these, so need not hear of their members. */
const LINK_GROUPS_MASK = 0xffffff00 | 0;
const LINK_GROUPS = 0xe0000000 | 0;

export interface IgmpOptions {
  readonly outlet: Outlet;
  /** The interface's own address; undefined while it has none, which reports are sent without too (RFC 3376 4.2.13). */
  readonly source: () => IpAddress | undefined;
  /** Whether groups of 224.0.0.0/24 are reported; 224.0.0.1 never is. */
  readonly reportLinkLocal: boolean;
}

export class IgmpSender implements ReportSender {
  readonly #options: IgmpOptions;

  constructor(options: IgmpOptions) {
    this.#options = options;
  }

  report(records: readonly GroupRecord[]): boolean {
    const packetBytes = this.#options.outlet.mtu - ALERTED_HEADER_BYTES - igmp.RECORDS;
    let sent = true;
    for (const packet of packRecords(records, packetBytes, 4)) {
      sent = this.#send({ kind: "source-report", records: packet.map(wireRecord) }, IGMP_ROUTERS4) && sent;
    }
    return sent;
  }

  oldReport(dialect: Dialect, group: IpAddress): boolean {
    return this.#send({ kind: "report", version: dialect === 1 ? 1 : 2, group }, group);
  }

  oldLeave(group: IpAddress): boolean {
    return this.#send({ kind: "leave", group }, ALL_ROUTERS4);
  }

  isReported(group: IpAddress): boolean {
    if (group.equals(ALL_HOSTS4)) return false;
    return this.#options.reportLinkLocal || (group.w3 & LINK_GROUPS_MASK) !== LINK_GROUPS;
  }

  #send(message: igmp.IgmpRecord, destination: IpAddress): boolean {
    const { outlet, source } = this.#options;
    const payloadLength = igmp.lengthOf(message);
    const header: ipv4.Ipv4Record = {
      dscp: CONTROL_DSCP,
      ecn: 0,
      // An atomic datagram needs no identification (RFC 6864 section 4.1).
      identification: 0,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: LINK_TTL,
      protocol: PROTOCOL.IGMP,
      source: source() ?? ANY4,
      destination,
      options: [ROUTER_ALERT],
      payloadLength,
    };
    const bytes = ALERTED_HEADER_BYTES + payloadLength;
    return outlet.send(multicastMac(destination), ETHERTYPE.IPV4, bytes, (view, at) => {
      igmp.emit(message, view, at + ipv4.emit(header, view, at));
    });
  }
}

/**
 * What the message of `length` bytes at `at` says, in the packet whose good IPv4 header is at `ipAt`.
 *
 * Queries must come with the router alert option, without which forged ones could come from afar (RFC 3376 section 9.1);
 * version 1 knew no such option.
 */
export const readIgmp = (
  view: DataView,
  ipAt: number,
  at: number,
  length: number,
): GroupMessage | GroupRefusal => {
  if (igmp.check(view, at, length) < 0) return "malformed";
  const message = igmp.parse(view, at, length);
  if (message?.kind !== "query" && message?.kind !== "report") return "ignored";
  if (ipv4.ttl(view, ipAt) !== LINK_TTL) return "foreign";
  if (message.kind === "query") {
    return message.version === 1 || hasRouterAlert(view, ipAt)
      ? judgeQuery(message, message.version)
      : "foreign";
  }
  return message.group.multicast ? { kind: "report", group: message.group } : "malformed";
};

const hasRouterAlert = (view: DataView, ipAt: number): boolean => {
  const end = ipAt + ipv4.headerBytes(view, ipAt);
  let at = ipv4.findOption(view, ipAt + ipv4.OPTIONS, end);
  while (at >= 0 && ipv4.optionType(view, at) !== ipv4.OPTION.ROUTER_ALERT) {
    at = ipv4.findOption(view, at + ipv4.optionBytes(view, at), end);
  }
  return at >= 0;
};
