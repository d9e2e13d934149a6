/**
 * IGMP and MLD printed.
 */
import { checksum as computeChecksum } from "../checksum.ts";
import type { GroupRecord } from "../group-records.ts";
import * as igmp from "../igmp.ts";
import * as mld from "../mld.ts";
import { type Line, nameOf, type Payload } from "./line.ts";

export const printIgmp = ({ line, view, at, end, pseudo }: Payload): void => {
  line.add("IGMP");
  const record = igmp.parse(view, at, end - at);
  if (record === undefined) {
    if (end - at >= igmp.HEADER_BYTES) line.add(` type ${igmp.type(view, at)}`);
    line.add(" ").cut("igmp");
    return;
  }
  if (pseudo !== undefined && computeChecksum(view, at, end - at) !== 0) line.add(" bad checksum,");
  switch (record.kind) {
    case "query":
      line.add(` v${record.version}`);
      printQuery(line, record);
      return;
    case "report":
      line.add(` v${record.version} report ${record.group}`);
      return;
    case "leave":
      line.add(` leave ${record.group}`);
      return;
    default:
      line.add(" v3");
      printRecords(line, record.records);
  }
};

/** Prints a message of ICMPv6 that is MLD's. */
export const printMld = (line: Line, view: DataView, at: number, end: number): void => {
  line.add(", MLD");
  const record = mld.parse(view, at, end - at);
  if (record === undefined) {
    line.add(" ").cut("mld");
    return;
  }
  switch (record.kind) {
    case "query":
      line.add(` v${record.version}`);
      printQuery(line, record);
      return;
    case "source-report":
      line.add(" v2");
      printRecords(line, record.records);
      return;
    default:
      line.add(` v1 ${record.kind} ${record.group}`);
  }
};

const printQuery = (line: Line, query: igmp.Query | mld.Query): void => {
  line.add(query.group.unspecified ? " general query" : ` query ${query.group}`);
  line.add(`, max response ${query.maxResponseMs} ms`);
  if (query.suppress) line.add(", suppress");
  if (query.robustness !== 0) line.add(`, robustness ${query.robustness}`);
  if (query.intervalSeconds !== 0) line.add(`, interval ${query.intervalSeconds} s`);
  if (query.sources.length === 0) return;
  line
    .add(", sources {")
    .list(query.sources, (source) => line.add(String(source)))
    .add("}");
};

const printRecords = (line: Line, records: readonly GroupRecord[]): void => {
  line.add(` report, ${records.length} record${records.length === 1 ? "" : "s"}`);
  for (const { type, group, sources } of records) {
    if (line.full) return;
    line.add(` [${group} ${nameOf(igmp.RECORD, type)}`);
    if (sources.length > 0)
      line
        .add(" {")
        .list(sources, (source) => line.add(String(source)))
        .add("}");
    line.add("]");
  }
};
