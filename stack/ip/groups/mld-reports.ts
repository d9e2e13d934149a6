/**
 * MLD as the group reporter speaks and hears it: MLDv2 (RFC 3810 section 5) and MLDv1 (RFC 2710).
 */
import { ALL_NODES6, ALL_ROUTERS6, ANY6, type IpAddress, MLD_ROUTERS6, SCOPE } from "../../wire/address.ts";
import { pseudo6 } from "../../wire/checksum.ts";
import { ETHERTYPE } from "../../wire/ethernet.ts";
import * as icmpv6 from "../../wire/icmpv6.ts";
import * as extensions from "../../wire/ipv6-extensions.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { multicastMac } from "../../wire/mac.ts";
import * as mld from "../../wire/mld.ts";
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

/** Messages go no further than the link: RFC 3810 section 5. */
const LINK_HOP_LIMIT = 1;
/** Two bytes that say what the alert is for; 0 is MLD (RFC 2711 section 2.1). */
const ALERT_VALUE_MLD = 0;
const ALERT_VALUE_BYTES = 2;
const ROUTER_ALERT: extensions.OptionsHeader = {
  kind: "hop-by-hop",
  nextHeader: PROTOCOL.ICMPV6,
  options: [{ type: extensions.OPTION.ROUTER_ALERT, data: new Uint8Array(ALERT_VALUE_BYTES) }],
};
const ALERT_BYTES = extensions.lengthOf(ROUTER_ALERT);

export interface MldOptions {
  readonly outlet: Outlet;
  /** The valid link-local address; undefined while there's none, which reports are sent without too (RFC 3590). */
  readonly source: () => IpAddress | undefined;
}

export class MldSender implements ReportSender {
  readonly #options: MldOptions;

  constructor(options: MldOptions) {
    this.#options = options;
  }

  report(records: readonly GroupRecord[]): boolean {
    const packetBytes = this.#options.outlet.mtu - ipv6.HEADER_BYTES - ALERT_BYTES - mld.RECORDS;
    let sent = true;
    for (const packet of packRecords(records, packetBytes, 6)) {
      sent = this.#send({ kind: "source-report", records: packet.map(wireRecord) }, MLD_ROUTERS6) && sent;
    }
    return sent;
  }

  oldReport(_dialect: Dialect, group: IpAddress): boolean {
    return this.#send({ kind: "report", group }, group);
  }

  oldLeave(group: IpAddress): boolean {
    return this.#send({ kind: "done", group }, ALL_ROUTERS6);
  }

  /** RFC 3810 section 6: neither all nodes, nor groups of the reserved scope 0 and of the interface itself. */
  isReported(group: IpAddress): boolean {
    return !group.equals(ALL_NODES6) && group.scope > SCOPE.INTERFACE;
  }

  #send(message: mld.MldRecord, destination: IpAddress): boolean {
    const { outlet, source } = this.#options;
    const payloadLength = ALERT_BYTES + mld.lengthOf(message);
    const from = source() ?? ANY6;
    const header: ipv6.Ipv6Record = {
      trafficClass: 0,
      flowLabel: 0,
      payloadLength,
      nextHeader: PROTOCOL.HOP_BY_HOP,
      hopLimit: LINK_HOP_LIMIT,
      source: from,
      destination,
    };
    const bytes = ipv6.HEADER_BYTES + payloadLength;
    return outlet.send(multicastMac(destination), ETHERTYPE.IPV6, bytes, (view, at) => {
      const alertAt = at + ipv6.emit(header, view, at);
      const messageAt = alertAt + extensions.emit(ROUTER_ALERT, view, alertAt);
      mld.emit(message, view, messageAt, from, destination);
    });
  }
}

/**
 * What the message of `length` bytes at `at` says, in the packet whose good IPv6 header is at `ipAt`.
 *
 * RFC 3810 section 6.2 has queries dropped that do not come from a link-local address with hop limit 1 and the router
 * alert option; RFC 2710 section 4 has reports dropped that come from no link-local address.
 */
export const readMld = (
  view: DataView,
  ipAt: number,
  at: number,
  length: number,
): GroupMessage | GroupRefusal => {
  if (icmpv6.check(view, at, length, pseudo6(view, ipAt, PROTOCOL.ICMPV6, length)) < 0) return "malformed";
  if (mld.check(view, at, length) < 0) return "malformed";
  const message = mld.parse(view, at, length);
  if (message === undefined) return "malformed";
  if (message.kind === "done" || message.kind === "source-report") return "ignored";
  if (ipv6.hopLimit(view, ipAt) !== LINK_HOP_LIMIT || !isLinkLocalUnicast(ipv6.source(view, ipAt)))
    return "foreign";
  if (message.kind === "query") {
    // MLDv1 does what IGMPv2 does, MLDv2 what IGMPv3 does.
    return hasRouterAlert(view, ipAt, at) ? judgeQuery(message, message.version === 1 ? 2 : 3) : "foreign";
  }
  return message.group.multicast ? { kind: "report", group: message.group } : "malformed";
};

const isLinkLocalUnicast = (address: IpAddress): boolean => address.family === 6 && address.linkLocal;

/** Whether the headers between the IPv6 header and the message hold a router alert for MLD. */
const hasRouterAlert = (view: DataView, ipAt: number, at: number): boolean => {
  const found = new extensions.Walk();
  const optionsAt = ipAt + ipv6.HEADER_BYTES;
  if (extensions.walk(view, optionsAt, at - optionsAt, ipv6.nextHeader(view, ipAt), found) < 0) return false;
  if (found.routerAlertAt < 0) return false;
  const valueAt = found.routerAlertAt + extensions.OPTION_DATA;
  return (
    extensions.optionBytes(view, found.routerAlertAt, at) === extensions.OPTION_DATA + ALERT_VALUE_BYTES &&
    view.getUint16(valueAt) === ALERT_VALUE_MLD
  );
};
