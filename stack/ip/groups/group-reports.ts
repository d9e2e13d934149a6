/**
 * What the codecs of IGMP and MLD share: packing group records into packets, and what a received message amounts to.
 */
import type { Family, IpAddress } from "../../wire/address.ts";
import {
  addressBytes,
  RECORD,
  recordSources,
  type GroupRecord as WireRecord,
} from "../../wire/group-records.ts";
import type { GroupQuery } from "./group-reporter.ts";
import type { GroupRecord, RecordKind } from "./group-state.ts";
import type { Dialect } from "./older-queriers.ts";
import { sortedSources } from "./source-filter.ts";

/** A message about groups that counts. */
export type GroupMessage =
  | { readonly kind: "query"; readonly query: GroupQuery }
  /** Another host's report in an older dialect. */
  | { readonly kind: "report"; readonly group: IpAddress };

/** Why a message about groups does not count; each has its counter. */
export type GroupRefusal =
  /** Wrong checksum, length, or addresses that make no sense. */
  | "malformed"
  /** Not sent on this link for this purpose: hop limit, router alert or source are not as they must be. */
  | "foreign"
  /** Fine, but of no concern to a host. */
  | "ignored";

/** What both protocols' queries hold. */
interface WireQuery {
  readonly group: IpAddress;
  readonly sources: readonly IpAddress[];
  readonly maxResponseMs: number;
  readonly robustness: number;
  readonly intervalSeconds: number;
}

const SECOND_MS = 1_000;

/** A query that came from where queries come from, unless what it asks about makes no sense. */
export const judgeQuery = (wire: WireQuery, dialect: Dialect): GroupMessage | GroupRefusal => {
  const { group, sources, maxResponseMs, robustness } = wire;
  // IGMPv1 only asks about all groups, whatever the field holds (RFC 1112 appendix I).
  const general = group.unspecified || dialect === 1;
  if ((!general && !group.multicast) || (general && sources.length > 0)) return "malformed";
  return {
    kind: "query",
    query: {
      dialect,
      group: general ? undefined : group,
      sources: sortedSources(sources),
      maxResponseMs,
      robustness,
      intervalMs: wire.intervalSeconds * SECOND_MS,
    },
  };
};

/** The type of a record on the wire, the same in both protocols. */
const RECORD_TYPE: Readonly<Record<RecordKind, number>> = {
  "is-include": RECORD.MODE_IS_INCLUDE,
  "is-exclude": RECORD.MODE_IS_EXCLUDE,
  "to-include": RECORD.CHANGE_TO_INCLUDE,
  "to-exclude": RECORD.CHANGE_TO_EXCLUDE,
  allow: RECORD.ALLOW_NEW_SOURCES,
  block: RECORD.BLOCK_OLD_SOURCES,
};
/** Routers ignore auxiliary data, and no kind of it is defined (RFC 3376 section 4.2.10). */
const NO_AUXILIARY = new Uint8Array(0);

/** A record as the wire's records have it. */
export const wireRecord = ({ kind, group, sources }: GroupRecord): WireRecord => ({
  type: RECORD_TYPE[kind],
  group,
  sources,
  auxiliary: NO_AUXILIARY,
});

/**
 * Spreads records over packets that have `packetBytes` for them. A list that no packet holds goes on in another record, except that of an EXCLUDE mode,
 * which is cut: what it then blocks too little is dropped by the host itself (RFC 3376 section 4.2.16, RFC 3810 section
 * 5.2.15).
 */
export const packRecords = (
  records: readonly GroupRecord[],
  packetBytes: number,
  family: Family,
): GroupRecord[][] => {
  const packets: GroupRecord[][] = [];
  const most = Math.max(1, Math.floor((packetBytes - recordSources(family)) / addressBytes(family)));
  let usedBytes = Infinity;
  for (const record of records.flatMap((each) => splitRecord(each, most))) {
    const bytes = recordSources(family) + record.sources.length * addressBytes(family);
    if (usedBytes + bytes > packetBytes) {
      packets.push([]);
      usedBytes = 0;
    }
    packets.at(-1)!.push(record);
    usedBytes += bytes;
  }
  return packets;
};

/** A record as several with at most `most` sources. */
const splitRecord = ({ kind, group, sources }: GroupRecord, most: number): GroupRecord[] => {
  if (sources.length <= most) return [{ kind, group, sources }];
  if (kind === "is-exclude" || kind === "to-exclude")
    return [{ kind, group, sources: sources.slice(0, most) }];
  const parts: GroupRecord[] = [];
  for (let from = 0; from < sources.length; from += most) {
    parts.push({ kind, group, sources: sources.slice(from, from + most) });
  }
  return parts;
};
